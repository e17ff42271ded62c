package export

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A Connection is one row of the table of connections.
type Connection struct {
	subject

	Opened        int64  `parquet:"opened,optional,timestamp(nanosecond)"`
	Closed        int64  `parquet:"closed,optional,timestamp(nanosecond)"`
	BeginMono     int64  `parquet:"begin_mono_ns,delta"`
	Lifetime      *int64 `parquet:"lifetime_ns,optional"`
	LifetimeBound string `parquet:"lifetime_bound,optional,dict"`
	AcceptWait    *int64 `parquet:"accept_wait_ns,optional"`

	SynSent     *int64 `parquet:"syn_sent_ns,optional"`
	SynRecv     *int64 `parquet:"syn_recv_ns,optional"`
	Established *int64 `parquet:"established_ns,optional"`
	FinWait1    *int64 `parquet:"fin_wait1_ns,optional"`
	FinWait2    *int64 `parquet:"fin_wait2_ns,optional"`
	TimeWait    *int64 `parquet:"time_wait_ns,optional"`
	CloseWait   *int64 `parquet:"close_wait_ns,optional"`
	LastAck     *int64 `parquet:"last_ack_ns,optional"`
	Closing     *int64 `parquet:"closing_ns,optional"`
	States      []Stay `parquet:"states,list"`
	StatesCut   *int64 `parquet:"states_cut,optional"`

	End           string `parquet:"end,optional,dict"`
	Error         string `parquet:"error,optional,dict"`
	ResetCause    string `parquet:"reset_cause,optional,dict"`
	ResetInferred bool   `parquet:"reset_inferred"`
	Complete      bool   `parquet:"complete"`
	Open          bool   `parquet:"open"`

	CloserPID  *uint32 `parquet:"closer_pid,optional,dict"`
	CloserComm string  `parquet:"closer_comm,optional,dict"`

	BytesSent     *int64 `parquet:"bytes_sent,optional"`
	BytesAcked    *int64 `parquet:"bytes_acked,optional"`
	BytesReceived *int64 `parquet:"bytes_received,optional"`
	SegsOut       *int64 `parquet:"segs_out,optional"`
	SegsIn        *int64 `parquet:"segs_in,optional"`
	SRTT          *int64 `parquet:"srtt_us,optional"`

	Retransmits         int64 `parquet:"retransmits"`
	RetransmitsRTO      int64 `parquet:"retransmits_rto"`
	RetransmitsFast     int64 `parquet:"retransmits_fast"`
	RetransmitsTLP      int64 `parquet:"retransmits_tlp"`
	RetransmitsSYN      int64 `parquet:"retransmits_syn"`
	RetransmitsSYNACK   int64 `parquet:"retransmits_synack"`
	RetransmitsFIN      int64 `parquet:"retransmits_fin"`
	RetransmitsRecovery int64 `parquet:"retransmits_recovery"`
	RetransmitsUnsent   int64 `parquet:"retransmits_unsent"`
	RetransmitsUnknown  int64 `parquet:"retransmits_unknown"`
	LossEpisodes        int64 `parquet:"loss_episodes"`
	SpuriousEpisodes    int64 `parquet:"spurious_episodes"`
	Loss                int64 `parquet:"loss_ns"`

	ISNSent     *uint32 `parquet:"isn_sent,optional"`
	ISNReceived *uint32 `parquet:"isn_received,optional"`
}

// A Stay is one element of the column "states": they are in order.
type Stay struct {
	State string `parquet:"state,dict"`
	Begin int64  `parquet:"begin,timestamp(nanosecond)"`
	NS    *int64 `parquet:"ns,optional"`
	Bound string `parquet:"bound,optional,dict"`
}

// A Connections makes rows of connections that have ended, or were open as the
// trace ended.
type Connections struct {
	row    Connection
	values values
	stays  []Stay
	ns     []int64
}

// Row makes a row of c, valid until it is called again; nil where c is no end of
// a connection.
func (t *Connections) Row(c *conn.Change, from Origin) *Connection {
	if c.Kind != conn.Ended || c.Conn.Listener() {
		return nil
	}
	t.row = Connection{}
	t.values.reset()
	t.row.set(&t.values, c, from)
	t.times(c.Conn, c.Time, from.Clock)
	t.states(c.Conn, c.Time, from.Clock)
	t.ending(c.Conn)
	t.figures(c.Conn)
	return &t.row
}

func (t *Connections) times(c *conn.Connection, until event.Time, clock event.Clock) {
	r, v := &t.row, &t.values
	r.BeginMono = int64(c.Opened)
	if c.OpenedKnown {
		r.Opened = wall(clock, c.Opened)
	} else {
		r.LifetimeBound = bound(conn.AtLeast)
	}
	if c.Closed != 0 {
		r.Closed, until = wall(clock, c.Closed), c.Closed
	}
	r.Lifetime = v.length(until.Sub(c.Opened))
	if wait, ok := c.AcceptWait(); ok {
		r.AcceptWait = v.length(wait)
	}
}

// states fills in the list, and the sum for each state that the connection has
// been in.
func (t *Connections) states(c *conn.Connection, until event.Time, clock event.Clock) {
	t.stays, t.ns = t.stays[:0], append(t.ns[:0], make([]int64, len(c.Spans))...)
	var sum [tcp.NumStates]time.Duration
	var been [tcp.NumStates]bool
	for i := range c.Spans {
		s := &c.Spans[i]
		if !s.State.Valid() || s.State == tcp.Close {
			continue
		}
		end := s.End
		if end == 0 {
			end = max(until, s.Begin)
		}
		t.ns[i] = int64(end.Sub(s.Begin))
		t.stays = append(t.stays, Stay{State: s.State.String(), Begin: wall(clock, s.Begin), NS: &t.ns[i], Bound: bound(s.Bound())})
		sum[s.State] += end.Sub(s.Begin)
		been[s.State] = true
	}
	r := &t.row
	r.States, r.StatesCut = t.stays, t.values.some(int64(c.SpansCut))
	for _, column := range []struct {
		state tcp.State
		to    **int64
	}{
		{tcp.SynSent, &r.SynSent}, {tcp.SynRecv, &r.SynRecv}, {tcp.Established, &r.Established},
		{tcp.FinWait1, &r.FinWait1}, {tcp.FinWait2, &r.FinWait2}, {tcp.TimeWait, &r.TimeWait},
		{tcp.CloseWait, &r.CloseWait}, {tcp.LastAck, &r.LastAck}, {tcp.Closing, &r.Closing},
	} {
		if been[column.state] {
			*column.to = t.values.length(sum[column.state])
		}
	}
}

func (t *Connections) ending(c *conn.Connection) {
	r := &t.row
	r.End, r.Error = c.End.String(), c.Err.String()
	r.ResetCause, r.ResetInferred = c.ResetCause.String(), c.ResetInferred
	r.Complete, r.Open = c.Complete, c.Closed == 0
	if c.Closer.Known() {
		r.CloserPID, r.CloserComm = t.values.uint32(c.Closer.Task.PID), commOf(&c.Closer.Task)
	}
}

func (t *Connections) figures(c *conn.Connection) {
	r, v := &t.row, &t.values
	r.ISNSent, r.ISNReceived = v.isn(c.ISNs.Sent), v.isn(c.ISNs.Received)
	if c.HasCounters {
		n := &c.Counters
		r.BytesSent, r.BytesReceived = v.int(int64(n.BytesSent)), v.int(int64(n.BytesReceived))
		if acked, ok := c.BytesAcked(); ok {
			r.BytesAcked = v.int(int64(acked))
		}
		r.SegsOut, r.SegsIn, r.SRTT = v.int(int64(n.SegsOut)), v.int(int64(n.SegsIn)), v.some(int64(n.SRTTus))
	}
	for class, to := range [conn.NumClasses]*int64{
		conn.ClassUnknown: &r.RetransmitsUnknown, conn.ClassRTO: &r.RetransmitsRTO, conn.ClassFast: &r.RetransmitsFast,
		conn.ClassTLP: &r.RetransmitsTLP, conn.ClassSYN: &r.RetransmitsSYN, conn.ClassSYNACK: &r.RetransmitsSYNACK,
		conn.ClassFIN: &r.RetransmitsFIN, conn.ClassRecovery: &r.RetransmitsRecovery, conn.ClassUnsent: &r.RetransmitsUnsent,
	} {
		*to = int64(c.Retransmits[class])
		r.Retransmits += *to
	}
	r.LossEpisodes, r.SpuriousEpisodes, r.Loss = int64(c.Episodes), int64(c.SpuriousEpisodes), int64(c.EpisodeTime)
}

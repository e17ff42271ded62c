package export

import (
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/names"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// An Event is one row of the table of events: what "tcptrace watch" shows as a
// line.
type Event struct {
	Time int64  `parquet:"time,timestamp(nanosecond)"`
	Mono int64  `parquet:"mono_ns,delta"`
	Type string `parquet:"type,dict"`
	subject

	Old          string `parquet:"old,optional,dict"`
	New          string `parquet:"new,optional,dict"`
	InState      *int64 `parquet:"in_state_ns,optional"`
	InStateBound string `parquet:"in_state_bound,optional,dict"`
	State        string `parquet:"state,optional,dict"`
	Cause        string `parquet:"cause,optional,dict"`
	Reason       string `parquet:"reason,optional,dict"`
	Direction    string `parquet:"direction,optional,dict"`
	Inferred     bool   `parquet:"inferred"`

	Class    string  `parquet:"class,optional,dict"`
	Segments *int64  `parquet:"segments,optional"`
	Seq      *uint32 `parquet:"seq,optional"`
	Bytes    *int64  `parquet:"bytes,optional"`
	RTO      *int64  `parquet:"rto_ms,optional"`
	SRTT     *int64  `parquet:"srtt_us,optional"`
	Cwnd     *int64  `parquet:"cwnd,optional"`
	CAState  string  `parquet:"ca_state,optional,dict"`
	Flags    string  `parquet:"tcp_flags,optional,dict"`
	Outgoing bool    `parquet:"outgoing"`

	Where string `parquet:"where,optional,dict"`
	Errno string `parquet:"errno,optional,dict"`
	Op    string `parquet:"op,optional,dict"`
	Count *int64 `parquet:"count,optional"`

	Queue       string `parquet:"queue,optional,dict"`
	QueueLength *int64 `parquet:"queue_length,optional"`
	QueueLimit  *int64 `parquet:"queue_limit,optional"`

	ActorPID  *uint32 `parquet:"actor_pid,optional,dict"`
	ActorComm string  `parquet:"actor_comm,optional,dict"`
	PeerConn  string  `parquet:"peer_conn,optional"`
	PeerPID   *uint32 `parquet:"peer_pid,optional,dict"`
	PeerComm  string  `parquet:"peer_comm,optional,dict"`
}

// An Events makes rows of what happens to connections.
type Events struct {
	row    Event
	values values
}

// Row makes a row of c, valid until it is called again; nil where c is no event
// but a conclusion from several: an end, or an episode of loss.
func (t *Events) Row(c *conn.Change, from Origin) *Event {
	t.row = Event{Time: wall(from.Clock, c.Time), Mono: int64(c.Time)}
	t.values.reset()
	r, v := &t.row, &t.values
	r.set(v, c, from)
	switch c.Kind {
	case conn.Transition, conn.Corrected:
		r.Type = "state"
		t.transition(c)
	case conn.Retransmitted:
		r.Type = "retransmit"
		t.retransmit(c)
	case conn.ResetSent, conn.ResetReceived:
		r.Type = "reset"
		t.reset(c)
	case conn.Crowd:
		t.crowd(c)
	case conn.Dropped, conn.QueueFull:
		r.Type = "drop"
		t.drop(c)
	case conn.Failed:
		r.Type = "error"
		r.Errno, r.Op, r.Count = c.Event.Err.String(), c.Event.Op.String(), v.int(int64(max(c.Event.Count, 1)))
	case conn.Errored:
		r.Type = "error"
		r.Errno, r.State = c.Conn.Err.String(), state(c.Old)
		if c.Old == tcp.SynSent {
			r.Op = event.OpConnect.String()
		}
	case conn.Lost:
		r.Type = "lost"
		r.Count = v.int(int64(c.Event.Loss.Count))
		if c.Event.Loss.Kind != 0 {
			r.Reason = c.Event.Loss.Kind.String()
		}
	default:
		return nil
	}
	return r
}

func state(s tcp.State) string {
	if !s.Valid() {
		return ""
	}
	return s.String()
}

func (t *Events) transition(c *conn.Change) {
	r := &t.row
	r.Old, r.New, r.Cause = state(c.Old), state(c.New), c.Cause.String()
	switch {
	case c.InStateKnown:
		r.InState = t.values.length(c.InState)
	case c.InState > 0:
		r.InState, r.InStateBound = t.values.length(c.InState), bound(conn.AtLeast)
	}
	t.actor(c, &c.Task)
}

func (t *Events) retransmit(c *conn.Change) {
	r, v, x := &t.row, &t.values, &c.Event.Retransmission
	r.State, r.Segments = state(c.Event.Old), v.int(int64(c.Segments))
	if c.Class != conn.ClassUnknown {
		r.Class = c.Class.String()
	}
	switch c.Event.Kind {
	case event.RetransmitMore:
		r.Count = v.int(int64(c.Event.Count))
	case event.Retransmit:
		r.Seq, r.Bytes = v.uint32(x.Seq), v.int(int64(x.Bytes))
		r.RTO, r.SRTT, r.Cwnd = v.some(int64(x.RTOms)), v.some(int64(x.SRTTus)), v.some(int64(x.Cwnd))
		r.CAState, r.Flags = names.CAState(x.CAState), names.TCPFlags(x.Flags)
		if x.Err < 0 {
			r.Errno = event.Errno(-x.Err).String()
		}
	}
}

func (t *Events) reset(c *conn.Change) {
	r := &t.row
	r.Direction = "sent"
	if c.Kind == conn.ResetReceived {
		r.Direction = "received"
	}
	r.State, r.Reason, r.Cause, r.Inferred = state(c.Event.Old), c.Event.Reason, c.Reset.Cause.String(), c.Reset.Inferred
	if c.Kind == conn.ResetSent {
		t.actor(c, &c.Task)
	}
	if c.Reset.PeerKnown {
		peer := subject{}
		peer.endpoints(&t.values, c.Reset.Peer, c.Event.Remote, c.Event.Local)
		r.PeerConn = peer.Conn
		if c.Reset.PeerOwner.Known() {
			r.PeerPID, r.PeerComm = t.values.uint32(c.Reset.PeerOwner.Task.PID), commOf(&c.Reset.PeerOwner.Task)
		}
	}
}

// crowd is of many that have no row of their own: Count of them.
func (t *Events) crowd(c *conn.Change) {
	r, v := &t.row, &t.values
	r.Type, r.Count = "retransmit", v.int(int64(c.Event.Count))
	if c.Event.Kind == event.ResetMore {
		r.Type, r.Direction, r.State, r.Reason = "reset", "sent", state(c.Event.Old), c.Event.Reason
		return
	}
	r.Segments = v.int(int64(c.Segments))
}

func (t *Events) drop(c *conn.Change) {
	r, v := &t.row, &t.values
	r.State = state(c.Event.Old)
	if c.Kind == conn.QueueFull {
		q := &c.Event.Queue
		r.State, r.Queue, r.Count = tcp.Listen.String(), "accept", v.int(int64(c.Event.Count))
		if q.SYN {
			r.Queue = "syn"
		}
		r.QueueLength, r.QueueLimit = v.int(int64(q.Length)), v.int(int64(q.Limit))
		return
	}
	p := &c.Event.Packet
	r.Reason, r.Where, r.Flags = c.Event.Reason, text(p.Where), names.TCPFlags(p.Flags)
	r.Seq, r.Bytes = v.uint32(p.Seq), v.int(int64(p.Bytes))
	r.Outgoing = p.Outgoing
	if c.Event.Count > 1 {
		r.Count = v.int(int64(c.Event.Count))
	}
}

// actor is the process that did it, where it is not the connection's own.
func (t *Events) actor(c *conn.Change, task *event.Task) {
	if task.Known() && (c.Conn == nil || task.PID != c.Conn.Owner.Task.PID) {
		t.row.ActorPID, t.row.ActorComm = t.values.uint32(task.PID), commOf(task)
	}
}

package audit

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Numbers of the kernel's that a Retransmission has.
const (
	caLoss      = 4    // TCP_CA_Loss
	lossProbe   = 5    // ICSK_TIME_LOSS_PROBE
	lost        = 4    // TCPCB_LOST
	everRetrans = 0x80 // TCPCB_EVER_RETRANS
	flagSYN     = 2
)

// The errors with which __tcp_retransmit_skb returns before it counts. All
// others, but for EHOSTUNREACH, come from tcp_transmit_skb, after it has.
const (
	eagain  = -11
	enomem  = -12
	ebusy   = -16
	einval  = -22
	unreach = -113
)

// retransmit counts RetransSegs, TCPSynRetrans, TCPTimeouts and TCPLossProbes
// of a full socket (net/ipv4/tcp_output.c, tcp_timer.c).
func (s *space) retransmit(ev *event.Event) {
	x := &ev.Retransmission
	if s.tried(ev) {
		s.add(RetransSegs, int64(max(x.Segments, 1)), ev.Time)
		if x.Flags&flagSYN != 0 {
			s.add(TCPSynRetrans, 1, ev.Time)
		}
	}
	switch {
	case x.Pending == lossProbe && x.Sacked&lost == 0 && x.Err == 0 && ev.Old != tcp.SynSent:
		s.add(TCPLossProbes, 1, ev.Time)
	case x.Pending == 0 && x.CAState == caLoss && x.Head && x.Retransmits > 0:
		if !s.tellsCongestion || ev.Old == tcp.SynSent {
			s.timedOut(ev)
		}
	}
}

// congestion counts a timeout: before the timer sends a segment again, the
// state Loss is set. Where the peer's window is shut, that is no timeout; that
// of a peer which has not answered yet is always shut, and its segment tells.
func (s *space) congestion(ev *event.Event) {
	s.tellsCongestion = true
	x := &ev.Retransmission
	if x.Timeout && x.CAState == caLoss && ev.Old != tcp.SynSent {
		s.timedOut(ev)
	}
}

func (s *space) timedOut(ev *event.Event) {
	s.add(TCPTimeouts, 1, ev.Time)
	s.timeouts[ev.ID.Cookie] = timeout{ev.Time, time.Duration(ev.Retransmission.RTOms) * time.Millisecond}
}

// Indices of event.Suppressed.ByClass.
const (
	byTimeout = 1
	bySYN     = 4
	bySYNACK  = 5
	notSent   = 7
)

// retransmitMore counts segments without an event of their own. A timeout and
// a SYN make one segment each.
func (s *space) retransmitMore(ev *event.Event) {
	by := &ev.Suppressed.ByClass
	n := func(class int) int64 { return int64(by[class]) }
	for class := range by {
		if class != notSent {
			s.add(RetransSegs, n(class), ev.Time)
		}
	}
	s.add(TCPSynRetrans, n(bySYN)+n(bySYNACK), ev.Time)
	s.add(TCPTimeouts, n(bySYN)+int64(ev.Suppressed.Timeouts), ev.Time)
	if !s.tellsCongestion {
		s.add(TCPTimeouts, n(byTimeout), ev.Time)
	}
	s.add(TCPLossProbes, int64(ev.Suppressed.Probes), ev.Time)
	if n(notSent) > 0 {
		s.may(RetransSegs, n(notSent), ev.Time, "of too many segments that could not be sent it is not told how far they came")
	}
}

// tried reports whether __tcp_retransmit_skb came as far as to count the
// segment, which may still not have been sent.
func (s *space) tried(ev *event.Event) bool {
	x := &ev.Retransmission
	switch x.Err {
	case eagain, enomem, ebusy, einval:
		return false
	case unreach:
		if x.Sacked&everRetrans == 0 {
			return false
		}
		s.may(RetransSegs, -int64(max(x.Segments, 1)), ev.Time, "a segment without a route counts only if that was noticed late")
	}
	return true
}

// retransmitSynAck counts one of a request socket (tcp_rtx_synack), and the
// timeout if there was one (reqsk_timer_handler).
func (s *space) retransmitSynAck(ev *event.Event) {
	s.add(RetransSegs, 1, ev.Time)
	s.add(TCPSynRetrans, 1, ev.Time)
	if ev.Retransmission.Timeout {
		s.add(TCPTimeouts, 1, ev.Time)
	}
}

// requestEnd counts a handshake's end as the kernel does: a RST or a stray SYN
// fails the attempt (tcp_check_req), the last timeout counts as one
// (reqsk_timer_handler). Once the listener is closed, neither counts.
func (s *space) requestEnd(ev *event.Event) {
	var c Counter
	switch ev.Cause {
	case event.CauseTimeout, event.CauseExpired:
		c = TCPTimeouts
	case event.CauseReset:
		overflow := func(r *sentReset) bool { return r.withoutSYN && r.tuple == tupleOf(ev) }
		if s.resets.find(ev.Time, overflow) {
			return // tcp_abort_on_overflow
		}
		c = AttemptFails
	default:
		return
	}
	if _, closed := s.closed[ev.Local.Port()]; closed {
		s.may(c, 1, ev.Time, "a request of a closed listener ends without counting, unless another one of its SO_REUSEPORT group takes it over")
		return
	}
	s.add(c, 1, ev.Time)
}

// resetSent counts OutRsts, and what of TCPAbortOn* a RST stands for.
func (s *space) resetSent(ev *event.Event) {
	s.resets.add(ev)
	delete(s.skipped, ev.ID.Cookie)
	s.add(OutRsts, 1, ev.Time)
	switch ev.Reason {
	case "TCP_ABORT_ON_CLOSE":
		s.add(TCPAbortOnClose, 1, ev.Time)
	case "TCP_ABORT_ON_DATA":
		s.add(TCPAbortOnData, 1, ev.Time)
	case "TCP_ABORT_ON_LINGER":
		s.add(TCPAbortOnLinger, 1, ev.Time)
	case "TCP_ABORT_ON_MEMORY":
		s.add(TCPAbortOnMemory, 1, ev.Time)
	case "":
		s.unexplained(ev)
	default:
		if closedAtOnce(ev) {
			s.add(TCPAbortOnData, 1, ev.Time)
		}
	}
}

// closedAtOnce reports whether the RST is that of close() with SO_LINGER 0:
// close() forbids receiving and sending before it sends it, connect() to
// AF_UNSPEC, which sends one as well, does not.
func closedAtOnce(ev *event.Event) bool {
	const both = 3 // SHUTDOWN_MASK
	f := &ev.Reset
	return f.Socket && f.Linger0 && !f.Answer && f.Shutdown == both && ev.Task.Known()
}

// inClose reports whether a system call sends the RST and has set CLOSE before.
func inClose(ev *event.Event) bool { return ev.Old == tcp.Close && ev.Task.Known() }

// retrying reports whether a closed socket still has a retransmission timer, which
// looks at the host's limits, too.
func retrying(s tcp.State) bool {
	return s == tcp.FinWait1 || s == tcp.Closing || s == tcp.LastAck
}

// unexplained counts a RST for which the kernel gives no reason (before 6.10).
func (s *space) unexplained(ev *event.Event) {
	f := &ev.Reset
	switch {
	case !f.Socket:
	case f.Answer && f.Dead:
		s.add(TCPAbortOnData, 1, ev.Time)
	case f.Answer:
	case f.Dead && f.Linger2 && inClose(ev):
		s.add(TCPAbortOnLinger, 1, ev.Time)
	case f.Dead && (inClose(ev) || !ev.Task.Known() && retrying(ev.Old)):
		s.add(TCPAbortOnMemory, 1, ev.Time)
	case !ev.Task.Known():
	case f.Unread > 0:
		s.add(TCPAbortOnClose, 1, ev.Time)
	case closedAtOnce(ev):
		s.add(TCPAbortOnData, 1, ev.Time)
	}
}

// queueFull counts ListenOverflows, and ListenDrops, which counts each of these
// and each SYN that a full queue of requests turned away (tcp_conn_request,
// tcp_v4_syn_recv_sock).
func (s *space) queueFull(ev *event.Event) {
	add := s.add
	if !ev.Remote.IsValid() { // SYNs, a moment ago
		add = s.addFound
	}
	n := int64(max(ev.Count, 1))
	if !ev.Queue.SYN {
		add(ListenOverflows, n, ev.Time)
	}
	add(ListenDrops, n, ev.Time)
}

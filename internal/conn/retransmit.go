package conn

import (
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A Class says why a segment was sent again.
type Class uint8

const (
	ClassUnknown  Class = iota
	ClassRTO            // the retransmission timer ran out
	ClassFast           // fast retransmit or RACK: SACK says that it is lost
	ClassTLP            // tail loss probe
	ClassSYN            // a SYN was not answered
	ClassSYNACK         // a SYN-ACK was not answered
	ClassRecovery       // sent in the recovery that follows a timeout
	ClassUnsent         // the kernel tried and could not send it

	// NumClasses is one more than the largest Class.
	NumClasses
)

var classNames = [NumClasses]string{
	ClassUnknown: "unknown", ClassRTO: "rto", ClassFast: "fast", ClassTLP: "tlp",
	ClassSYN: "syn", ClassSYNACK: "synack", ClassRecovery: "recovery", ClassUnsent: "unsent",
}

// String returns the word that records use.
func (c Class) String() string { return classNames[c] }

// The values that Classify needs of event.Retransmission.
const (
	caRecovery = 3 // enum tcp_ca_state: TCP_CA_Recovery
	caLoss     = 4 // TCP_CA_Loss

	pendingLossProbe = 5 // ICSK_TIME_LOSS_PROBE

	sackedLost = 4 // TCPCB_LOST

	flagSYN = 2
)

// Classify tells why a segment was sent again, from what the kernel knew as
// it did so (net/ipv4/tcp_timer.c, tcp_output.c, tcp_recovery.c).
func Classify(ev *event.Event) Class {
	x := &ev.Retransmission
	switch {
	case x.Err != 0:
		return ClassUnsent
	case ev.Kind == event.RetransmitSynAck:
		return ClassSYNACK
	case ev.Old == tcp.SynSent:
		return ClassSYN
	case ev.Old == tcp.SynRecv && x.Flags&flagSYN != 0:
		return ClassSYNACK // of a full socket: simultaneous open
	case x.Pending == pendingLossProbe && x.Sacked&sackedLost == 0:
		return ClassTLP
	case x.CAState == caLoss && x.Pending == 0 && x.Retransmits > 0:
		return ClassRTO
	case x.CAState == caLoss:
		return ClassRecovery
	case x.CAState == caRecovery:
		return ClassFast
	}
	return ClassUnknown
}

// retransmit handles a segment sent again.
func (t *Tracker) retransmit(ev *event.Event, r *record) {
	class := Classify(ev)
	past := r
	if r = t.meet(r, ev); r == nil {
		r = past
		if !t.outlived(past, ev) {
			old := ev.Old
			if ev.Kind == event.RetransmitSynAck {
				old = tcp.SynRecv
			}
			if !old.Valid() || old == tcp.Close || old == tcp.Listen {
				t.stats.Stray++
				return
			}
			r = t.adopt(ev, old)
		}
	}
	if !r.dead {
		r.Retransmits[class]++
	}
	t.change = Change{Kind: Retransmitted, Time: ev.Time, Conn: &r.Connection, Event: ev, Class: class}
	t.emit(&t.change)
}

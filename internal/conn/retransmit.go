package conn

import (
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A Class says what was sent again, or why.
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
	ClassFIN            // a FIN without data, whatever caused it: see Trigger

	// NumClasses is one more than the largest Class.
	NumClasses
)

var classNames = [NumClasses]string{
	ClassUnknown: "unknown", ClassRTO: "rto", ClassFast: "fast", ClassTLP: "tlp",
	ClassSYN: "syn", ClassSYNACK: "synack", ClassRecovery: "recovery", ClassUnsent: "unsent",
	ClassFIN: "fin",
}

// String returns the word that records use.
func (c Class) String() string { return classNames[c] }

// The values that Classify needs of event.Retransmission.
const (
	caOpen     = 0 // enum tcp_ca_state: TCP_CA_Open
	caDisorder = 1 // TCP_CA_Disorder
	caCWR      = 2 // TCP_CA_CWR
	caRecovery = 3 // TCP_CA_Recovery
	caLoss     = 4 // TCP_CA_Loss

	pendingLossProbe = 5 // ICSK_TIME_LOSS_PROBE

	sackedLost = 4 // TCPCB_LOST

	flagFIN = 1
	flagSYN = 2

	eAGAIN       = 11
	eNOMEM       = 12
	eBUSY        = 16
	eINVAL       = 22
	eHOSTUNREACH = 113
)

// Classify tells what was sent again, or why, from what the kernel knew as it
// did so. A SYN, a SYN-ACK, a FIN without data and what could not be sent are
// classes of their own; of all else the class is the Trigger.
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
	case x.Flags&flagFIN != 0 && x.Bytes == 0:
		return ClassFIN
	}
	return Trigger(ev)
}

// Trigger tells what made the kernel send a segment again: ClassRTO, ClassTLP,
// ClassFast, ClassRecovery, or ClassUnknown (net/ipv4/tcp_timer.c,
// tcp_output.c, tcp_recovery.c).
func Trigger(ev *event.Event) Class {
	x := &ev.Retransmission
	switch {
	case ev.Kind == event.RetransmitSynAck:
		return ClassRTO
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

// Resent returns how many segments c has sent again, as the kernel counts them
// (RetransSegs).
func (c *Connection) Resent() (segments uint64) {
	for _, n := range c.Retransmits {
		segments += uint64(n)
	}
	return segments
}

// counted returns by how much ev's segment moved the kernel's RetransSegs: more
// than 1 where the hardware cuts it up (GSO), 0 where the kernel gave up before
// it reached the network layer. What that layer then drops is counted.
func (r *record) counted(ev *event.Event) uint32 {
	x := &ev.Retransmission
	if ev.Kind == event.RetransmitSynAck {
		return 1
	}
	before := r.total
	r.total = max(r.total, x.Total)
	if x.Err == 0 {
		return max(x.Segments, 1)
	}
	switch {
	case r.OpenedKnown && x.Total != 0 || before != 0:
		if x.Total <= before {
			return 0
		}
	case x.Err == -eBUSY || x.Err == -eAGAIN || x.Err == -eNOMEM || x.Err == -eINVAL || x.Err == -eHOSTUNREACH:
		return 0 // __tcp_retransmit_skb returns these before it counts
	}
	return max(x.Segments, 1)
}

// retransmit handles a segment sent again.
func (t *Tracker) retransmit(ev *event.Event, r *record) {
	class := Classify(ev)
	if r = t.resender(ev, r); r == nil {
		return
	}
	n := r.counted(ev)
	if !r.dead {
		t.resent(r, ev, class, n)
		r.Retransmits[class] += n
	}
	t.change = Change{Kind: Retransmitted, Time: ev.Time, Conn: &r.Connection, Event: ev, Class: class, Segments: n}
	t.emit(&t.change)
}

// resender returns the record, perhaps of an ended connection, that sent again
// what ev says, or nil.
func (t *Tracker) resender(ev *event.Event, r *record) *record {
	past := r
	if r = t.meet(r, ev); r != nil {
		return r
	}
	if t.outlived(past, ev) {
		return past
	}
	old := ev.Old
	if ev.Kind == event.RetransmitSynAck {
		if past != nil && past.dead { // its timer ran on one CPU while another ended it
			t.stats.Late++
			return past
		}
		old = tcp.SynRecv
	}
	if !alive(old) {
		t.stats.Stray++
		return nil
	}
	return t.adopt(ev, old)
}

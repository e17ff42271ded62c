package conn

import "github.com/tcptrace/tcptrace/internal/event"

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

// Classify tells why a segment was sent again, from what the kernel knew as
// it did so.
func Classify(ev *event.Event) Class {
	return ClassUnknown
}

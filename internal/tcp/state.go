// Package tcp names the states of a TCP connection and says which state may
// follow which. It knows nothing of sockets, packets or the kernel's objects.
package tcp

import (
	"fmt"
	"strings"
)

// A State is one of the eleven states of RFC 9293, section 3.3.2, in the
// numeric order of Linux (include/net/tcp_states.h), so that a state read from
// the kernel needs no translation.
type State uint8

const (
	Unknown     State = 0
	Established State = 1
	SynSent     State = 2
	SynRecv     State = 3
	FinWait1    State = 4
	FinWait2    State = 5
	TimeWait    State = 6
	Close       State = 7
	CloseWait   State = 8
	LastAck     State = 9
	Listen      State = 10
	Closing     State = 11

	// NumStates is one more than the largest State: the length of an array
	// indexed by State.
	NumStates = 12
)

var names = [NumStates]string{
	Unknown:     "UNKNOWN",
	Established: "ESTABLISHED",
	SynSent:     "SYN_SENT",
	SynRecv:     "SYN_RECV",
	FinWait1:    "FIN_WAIT1",
	FinWait2:    "FIN_WAIT2",
	TimeWait:    "TIME_WAIT",
	Close:       "CLOSE",
	CloseWait:   "CLOSE_WAIT",
	LastAck:     "LAST_ACK",
	Listen:      "LISTEN",
	Closing:     "CLOSING",
}

// States lists the eleven states in the order of a connection's life, listener
// first.
func States() []State {
	return []State{
		Listen, SynSent, SynRecv, Established, FinWait1, FinWait2,
		Closing, TimeWait, CloseWait, LastAck, Close,
	}
}

// String returns the name as netstat prints it.
func (s State) String() string {
	if s < NumStates {
		return names[s]
	}
	return fmt.Sprintf("STATE(%d)", uint8(s))
}

// Valid reports whether s is one of the eleven states.
func (s State) Valid() bool { return s > Unknown && s < NumStates }

// ParseState reads a state's name. Case, and "-" for "_", do not matter.
func ParseState(name string) (State, error) {
	canon := strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	for s := Established; s < NumStates; s++ {
		if names[s] == canon {
			return s, nil
		}
	}
	return Unknown, fmt.Errorf("unknown TCP state %q", name)
}

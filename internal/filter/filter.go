// Package filter holds the selection that a user makes with flags: whose
// connections, and which. The kernel side applies as much of it as it can, so
// that unwanted events cost next to nothing; this package applies all of it.
package filter

import (
	"net/netip"
	"slices"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A Filter selects connections and records. An empty list selects all. Lists
// of one kind are alternatives; different kinds must all hold.
type Filter struct {
	PIDs  []uint32
	Comms []string // whole names, as ParseComm makes them
	NetNS []uint32 // inodes

	Containers []string // begins of ids, as ParseContainer makes them
	Cgroups    []string // paths, as ParseCgroup makes them

	Ports       []uint16 // either side
	LocalPorts  []uint16
	RemotePorts []uint16
	Nets        []netip.Prefix // either side
	IPv4, IPv6  bool           // both false: both

	States []tcp.State // transitions into one of these
	Kinds  []Kind
}

// A Kind is a kind of record that --kind selects.
type Kind string

const (
	KindState      Kind = "state"
	KindRetransmit Kind = "retransmit"
	KindReset      Kind = "reset"
	KindDrop       Kind = "drop"
	KindError      Kind = "error"
	KindConnection Kind = "connection"
	KindFinding    Kind = "finding"
)

// Kinds lists the kinds of record that there are to select.
func Kinds() []Kind {
	return []Kind{KindState, KindRetransmit, KindReset, KindDrop, KindError, KindConnection, KindFinding}
}

// SelectsKind reports whether records of kind k are wanted. Who asks for
// states and for no kind wants transitions. Drops, errors and findings must be
// asked for.
func (f *Filter) SelectsKind(k Kind) bool {
	if len(f.Kinds) == 0 {
		switch k {
		case KindDrop, KindError, KindFinding:
			return false
		}
		return len(f.States) == 0 || k == KindState
	}
	return slices.Contains(f.Kinds, k)
}

// SelectsState reports whether transitions into s are wanted.
func (f *Filter) SelectsState(s tcp.State) bool {
	return len(f.States) == 0 || slices.Contains(f.States, s)
}

// ByProcess reports whether f asks for processes: then a connection whose
// process is not known cannot be judged.
func (f *Filter) ByProcess() bool { return len(f.PIDs) > 0 || len(f.Comms) > 0 || f.ByLabel() }

// ByLabel reports whether f asks for what a Label says.
func (f *Filter) ByLabel() bool { return len(f.Containers) > 0 || len(f.Cgroups) > 0 }

// Package filter holds the selection that a user makes with flags: whose
// connections, and which. The kernel side applies as much of it as it can, so
// that unwanted events cost next to nothing; this package applies all of it.
package filter

import (
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A Filter selects connections and records. An empty list selects all. Lists
// of one kind are alternatives; different kinds must all hold.
type Filter struct {
	PIDs  []uint32
	Comms []string
	NetNS []uint32 // inodes

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

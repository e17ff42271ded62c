package recording

import (
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
)

// Info says of what a recording is. It is the first row of each file.
type Info struct {
	Program string `json:"program,omitempty"` // and its version, which wrote it
	Host    string `json:"host"`              // its name
	Kernel  string `json:"kernel,omitempty"`  // as uname -r says
	Machine string `json:"machine,omitempty"` // as uname -m says
	BootID  string `json:"boot_id,omitempty"` // one for each time the host was started

	// Session is one for each recording, and the same in all files that it was
	// rotated into; Part counts these from 1. Events continue from one part to
	// the next, and one that was deleted is missed.
	Session string `json:"session"`
	Part    int    `json:"part"`

	// Boot is the wall-clock time at which the events' clock was zero, as the
	// session began, and Began when that was.
	Boot  time.Time  `json:"boot"`
	Began event.Time `json:"began_mono_ns"`

	// Filter is what the kernel side was asked to select: other connections
	// are not in the recording, or in part.
	Filter filter.Filter `json:"filter"`
	// Sparse says that of connections of other processes than Filter.PIDs no
	// more was handed over than whose they are.
	Sparse bool `json:"sparse,omitempty"`

	Capabilities []Capability `json:"capabilities,omitempty"`

	// SinceFinding is the rule that the recording waited for: its begin is the
	// minute before that.
	SinceFinding string `json:"since_finding,omitempty"`
}

// Clock ties the events' time to the wall clock.
func (i *Info) Clock() event.Clock { return event.Clock{Boot: i.Boot} }

// A Capability is one thing that the recording tells, as "tcptrace doctor" has
// it, and how well: exact, bounded or absent.
type Capability struct {
	Name  string `json:"name"`
	Grade string `json:"grade"`
	Hook  string `json:"hook,omitempty"`
	Lost  string `json:"lost,omitempty"`
}

// A Namespace is what was known of a network namespace at its place in the
// recording. A later one replaces it.
type Namespace struct {
	NetNS uint32 // inode
	Name  string // raw bytes; "" where it has none
	// Sysctls are those in force, by name, such as "net.ipv4.tcp_fin_timeout";
	// nil where they could not be read.
	Sysctls map[string]string
	// Devices are the names of the devices, by their addresses; nil likewise.
	Devices map[netip.Addr]string
}

// A Process is one that held a socket as the recording began.
type Process struct {
	Task    event.Task
	Started time.Duration // when it was forked, on CLOCK_BOOTTIME, in whole 10 ms; 0 where not known
}

// Descriptors are those that a process had of TCP sockets, as somebody asked for
// them at this place of the recording.
type Descriptors struct {
	PID  uint32
	Held []Descriptor
}

// A Descriptor leads to a socket.
type Descriptor struct {
	Socket event.ID
	FD     uint32
}

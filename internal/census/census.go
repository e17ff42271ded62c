// Package census holds every TCP socket of a host at one time, whose each is,
// and counts them. It is pure: somebody else reads them from the kernel.
package census

import (
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// An Object says which kernel object a socket is.
type Object uint8

const (
	Full     Object = iota + 1 // a socket as processes know it
	Request                    // SYN_RECV
	TimeWait                   // TIME_WAIT, or FIN_WAIT2 of an orphan
)

// A Socket is one TCP socket at the time when it was read.
type Socket struct {
	Time          event.Time
	ID            event.ID
	Local, Remote netip.AddrPort // Remote is invalid where there is no peer
	Inode         uint64         // 0 where no process can have a descriptor of it

	// RecvQ and SendQ are in bytes; those of a listener are the length of its
	// accept queue and its backlog, in connections. Only a Full socket has them.
	RecvQ, SendQ uint32

	Timer    string // retransmit, keepalive, timewait, probe; "" for none
	TimeLeft time.Duration
	Timeouts uint8  // retransmits or probes since the last answer
	Drops    uint32 // by the socket; for a listener, SYNs and handshakes
	UID      uint32 // of who made it; a TimeWait does not know

	State      tcp.State
	Object     Object
	Orphan     bool // its process has closed it; the kernel finishes
	Unaccepted bool // it waits for accept() in its listener's queue
	KeepAlive  bool

	// Role is what it appears to be. Inferred says that the kernel keeps no
	// trace of it: Server if its namespace has a listener of its address and
	// port now, else Client.
	Role     conn.Role
	Inferred bool

	// Owner is the process that holds it, FD its descriptor. Via is ViaListen
	// where no process can hold it yet, and Owner holds its listener.
	Owner event.Task
	FD    uint32
	Via   conn.Via

	// Holders are all descriptors of it, where there are several; Owner is of
	// one of them. MoreHolders counts those that are not listed.
	Holders     []Holder
	MoreHolders uint32
}

// A Holder is a descriptor of a socket.
type Holder struct {
	PID, FD, UID uint32
	Comm         [16]byte
}

func (h *Holder) task() event.Task { return event.Task{PID: h.PID, UID: h.UID, Comm: h.Comm} }

// A Labeler says more of a process: nil where nothing is known.
type Labeler func(t *event.Task, at event.Time) *event.Label

// A Census is all sockets, or those that were asked for.
type Census struct {
	Time       event.Time
	Sockets    []Socket
	Namespaces map[uint32]string // names, by inode: raw bytes
}

// Select leaves the sockets that f wants, and labels them. Of several holders,
// the first that f wants becomes the owner.
func (c *Census) Select(f *filter.Filter, label Labeler) {
	kept := c.Sockets[:0]
	for i := range c.Sockets {
		s := &c.Sockets[i]
		if f.SelectsState(s.State) && s.choose(f, label) {
			kept = append(kept, *s)
		}
	}
	c.Sockets = kept
}

// choose reports whether f wants s, and settles on its owner.
func (s *Socket) choose(f *filter.Filter, label Labeler) bool {
	subject := filter.Subject{NetNS: s.ID.NetNS, Local: s.Local, Remote: s.Remote, Owner: &s.Owner}
	if s.Owner.Known() {
		s.Owner.Label = label(&s.Owner, s.Time)
	}
	if f.Match(&subject) == filter.Yes {
		return true
	}
	if !f.ByProcess() {
		return false
	}
	for i := range s.Holders {
		task := s.Holders[i].task()
		task.Label = label(&task, s.Time)
		subject.Owner = &task
		if f.Match(&subject) == filter.Yes {
			s.Owner, s.FD = task, s.Holders[i].FD
			return true
		}
	}
	return false
}

// Others returns how many descriptors lead to s beside the owner's.
func (s *Socket) Others() int {
	if len(s.Holders) == 0 {
		return int(s.MoreHolders)
	}
	return len(s.Holders) - 1 + int(s.MoreHolders)
}

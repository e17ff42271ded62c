package diagnose

import (
	"slices"

	"github.com/tcptrace/tcptrace/internal/event"
)

// Processes tell of processes that run what no change does. A nil Processes
// tells nothing.
type Processes interface {
	// Descriptors hands over each descriptor that a process has of a TCP
	// socket, in any order; none where it is gone or may not be looked at. It
	// is asked only for a finding that is told.
	Descriptors(pid uint32, each func(socket event.ID, fd uint32))
}

// maxDescriptors is how many a finding names.
const maxDescriptors = 10

// What the rules about sockets that a process holds have in common.
var descriptorTerms = []Term{
	{"fds", "the lowest ten descriptors by which the process holds these sockets, as in /proc/PID/fd; once all are closed, those of before"},
	{"fd_count", "how many there are, or were"},
}

// complete adds to f, which is about to be told, what only a look at its
// process tells.
func (e *Engine) complete(c *cause, f *Finding) {
	if f.Withdrawn {
		return
	}
	e.addDescriptors(c, f)
	e.addStack(c, f)
}

func (e *Engine) addDescriptors(c *cause, f *Finding) {
	if e.options.Processes == nil || c.holds == nil || !f.Process.Known() {
		return
	}
	var fds []int64
	e.options.Processes.Descriptors(f.Process.Task.PID, func(socket event.ID, fd uint32) {
		if c.holds(socket) {
			fds = append(fds, int64(fd))
		}
	})
	if len(fds) > 0 {
		slices.Sort(fds)
		fds = slices.Compact(fds) // the threads of a process share one table
		c.fds, c.fdCount = slices.Clone(fds[:min(len(fds), maxDescriptors)]), len(fds)
	}
	if c.fdCount > 0 { // else nobody has accepted them
		v := (*figures)(&f.Evidence)
		v.list("fds", c.fds)
		v.count("fd_count", int64(c.fdCount))
	}
}

// holds tells which sockets are a cause's now.
func (x *stays) holds(of *entry[held]) func(event.ID) bool {
	return func(id event.ID) bool {
		s := x.all[id]
		return s != nil && s.entry == of
	}
}

// sockets yields those that are in the state for too long, the oldest first.
func (h *held) sockets(yield func(event.ID) bool) {
	for s := h.stays.head; s != nil; s = s.newer {
		if !yield(s.id) {
			return
		}
	}
}

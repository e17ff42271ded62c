// Package probe is the live source of events: it loads the BPF programs that
// this kernel allows, attaches them, and reads what they report.
package probe

import (
	"errors"
	"time"

	"github.com/tcptrace/tcptrace/internal/filter"
)

// ErrPrivileges says that the process may not trace.
var ErrPrivileges = errors.New("tracing needs the capabilities CAP_BPF and CAP_PERFMON, or root")

// Options say what to trace and how to carry it.
type Options struct {
	// Filter is applied in the kernel as far as the kernel side can; what it
	// cannot decide is let through.
	Filter filter.Filter

	// RingBytes is the size of the ring buffer, a power of two times the page
	// size. 0 means 8 MiB. Several rings divide it among them.
	RingBytes int

	// Rings is how many ring buffers there are, each for a group of processors; no
	// more than there are of them, and pages of RingBytes. 0 means by the number of
	// processors: see ringsFor.
	Rings int

	// Poll is the interval at which the ring is emptied. 0 means 50 ms.
	Poll time.Duration

	// PollCalm is the interval, if it is longer, while nothing asks to be looked at
	// more often: see watch.
	PollCalm time.Duration

	// Hooks names the way in which timewait and request sockets are seen:
	// HooksTimers or HooksFentry, which must then work; "" is the best that
	// this kernel has. Each gives the same events.
	Hooks string

	// BTF names a file with the types of the kernel that runs, raw or in an ELF
	// file, for a kernel that has none of its own (CONFIG_DEBUG_INFO_BTF). What
	// rests on the kernel's own is left out: see untyped. Open fails where a
	// socket of ours is not seen as it is by these types.
	BTF string

	proven bool // the file is not to be held against sockets: see proveTypes

	// ExactAccept says to see accept() itself also where the kernel has no
	// trampolines: by the tracepoints of system calls, which cost every system
	// call of the host some 50 ns. Open fails where that cannot be had.
	ExactAccept bool

	// Errors says to see connect() and accept() fail, by the tracepoints of
	// system calls, which cost every system call of the host some 50 ns. Where
	// they cannot be had, and without it, only a connect() that finds no free
	// port is seen.
	Errors bool

	// Stacks says to keep, for Source.Stack, where in its own code a process was
	// as it opened a connection. That of accept() is kept where accept() is seen,
	// see ExactAccept; else that of the first read.
	Stacks bool

	// NoSweep leaves out the sweeps through the kernel's tables of sockets, at
	// the start and every minute: what is older than the trace is then known
	// only by what happens to it.
	NoSweep bool

	// NoOwners leaves out what tells who accepted a connection or read from it
	// first. Its process is then known when it closes the connection, or a sweep
	// finds it there.
	NoOwners bool

	// OnBatch, if set, is called after each poll of the ring, from the
	// goroutine of Run, also when there was nothing in it.
	OnBatch func()
}

// maxPIDs is how many processes the kernel side can select.
const maxPIDs = 8

// FiltersProcesses reports whether the kernel side selects by process: of
// others' connections it hands over no more than whose they are.
func (o *Options) FiltersProcesses() bool {
	return len(o.Filter.PIDs) > 0 && len(o.Filter.PIDs) <= maxPIDs
}

// Names of Options.Hooks.
const (
	HooksTimers = "timers" // the tracepoints of their timers
	HooksFentry = "fentry" // the functions that make and end them, by BPF trampolines
)

//go:build linux

package probe

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/event"
)

// A Tally counts the records of one kind: how many the kernel side wanted to
// send, and how many of them it could not: the ring had no room, or the kernel
// skipped the program that would have made them. Shed ones, which it was told to
// leave out, are in neither.
type Tally struct {
	Sent, Lost, Shed uint64
}

// A ledger knows what was lost up to the last time it was read.
type ledger struct {
	programs *programs
	tallies  *ebpf.Map
	perCPU   []bpf.TcptraceTtTally
	known    [event.NumKinds]Tally
	untold   uint64 // transitions, see addUntold
	checked  event.Time
}

// read brings known up to date.
func (l *ledger) read() error {
	if err := l.tallies.Lookup(uint32(0), &l.perCPU); err != nil {
		return fmt.Errorf("read the count of lost events: %w", err)
	}
	clear(l.known[:])
	l.addUntold()
	for cpu := range l.perCPU {
		for i := range l.perCPU[cpu].Sent {
			if kind := bpf.EventKind(i); kind != 0 {
				l.known[kind].Sent += l.perCPU[cpu].Sent[i]
				l.known[kind].Lost += l.perCPU[cpu].Lost[i]
				l.known[kind].Shed += l.perCPU[cpu].Shed[i]
			}
		}
	}
	return l.addSkipped()
}

// addUntold counts as lost the transitions by system calls of which one
// program saw that the other was not run for them. The two count one after the
// other, so the difference is below the truth while a transition is between
// them; what was found stands.
func (l *ledger) addUntold() {
	var called, seen uint64
	for cpu := range l.perCPU {
		called += l.perCPU[cpu].ByCall
		seen += l.perCPU[cpu].ByCallSeen
	}
	if seen > called {
		l.untold = max(l.untold, seen-called)
	}
	l.known[event.State].Sent += l.untold
	l.known[event.State].Lost += l.untold
}

// addSkipped counts as lost what our programs would have told had the kernel
// not skipped them: it does not start a program on a CPU where that program
// was interrupted, or, where tracepoints are preemptible, preempted
// (kernel/trace/bpf_trace.c, bpf_trace_run; kernel/bpf/trampoline.c). A timer
// that was skipped so may have been somebody else's: rather one too many.
func (l *ledger) addSkipped() error {
	for _, h := range l.programs.hooks {
		program, loaded := l.programs.collection.Programs[h.program]
		if !loaded || h.tells == 0 {
			continue
		}
		stats, err := program.Stats()
		if err != nil {
			return fmt.Errorf("read how often the kernel skipped %s: %w", h.program, err)
		}
		l.known[h.tells].Sent += stats.RecursionMisses
		l.known[h.tells].Lost += stats.RecursionMisses
	}
	return nil
}

// report calls handle with a Lost event for each kind of which events were
// lost since it was last called, and says whether there was one.
func (l *ledger) report(now event.Time, handle event.Handler) (any bool, err error) {
	before := l.known
	if err := l.read(); err != nil {
		return false, err
	}
	for kind := range l.known {
		lost := l.known[kind].Lost - before[kind].Lost
		if lost == 0 {
			continue
		}
		any = true
		handle(&event.Event{
			Kind: event.Lost,
			Time: now,
			Loss: event.Loss{Kind: event.Kind(kind), Count: lost, From: l.checked},
		})
	}
	l.checked = now
	return any, nil
}

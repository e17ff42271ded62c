//go:build linux

package probe

import (
	"fmt"
	"time"
	"unsafe"

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

// askEvery is how often the kernel is asked which programs it skipped. It takes
// a system call for each of them; what they count themselves is in our memory.
const askEvery = time.Second

// A ledger knows what was lost up to the last time it was read.
type ledger struct {
	programs *programs
	memory   *ebpf.Memory // of the tallies, one for each CPU
	perCPU   []bpf.TcptraceTtTally
	known    [event.NumKinds]Tally
	untold   uint64                 // transitions, see addUntold
	skipped  [event.NumKinds]uint64 // see askSkipped
	sent     uint64                 // of all kinds
	counted  uint64                 // in storms, rather than told
	checked  event.Time
	asked    event.Time // when skipped was read
}

func newLedger(p *programs, at event.Time) (ledger, error) {
	tallies := p.collection.Maps[bpf.TcptraceMapTallies]
	l := ledger{programs: p, perCPU: make([]bpf.TcptraceTtTally, tallies.MaxEntries()), checked: at, asked: at}
	var err error
	if l.memory, err = tallies.Memory(); err != nil {
		return l, fmt.Errorf("map the count of lost events: %w", err)
	}
	return l, nil
}

// read brings known up to date.
func (l *ledger) read() error {
	first := (*byte)(unsafe.Pointer(unsafe.SliceData(l.perCPU)))
	bytes := unsafe.Slice(first, len(l.perCPU)*int(unsafe.Sizeof(l.perCPU[0])))
	if _, err := l.memory.ReadAt(bytes, 0); err != nil {
		return fmt.Errorf("read the count of lost events: %w", err)
	}
	clear(l.known[:])
	l.sent, l.counted = 0, 0
	l.addUntold()
	for cpu := range l.perCPU {
		l.counted += l.perCPU[cpu].Counted
		for i := range l.perCPU[cpu].Sent {
			if kind := bpf.EventKind(i); kind != 0 {
				l.sent += l.perCPU[cpu].Sent[i]
				l.known[kind].Sent += l.perCPU[cpu].Sent[i]
				l.known[kind].Lost += l.perCPU[cpu].Lost[i]
				l.known[kind].Shed += l.perCPU[cpu].Shed[i]
			}
		}
		// A record of this kind is two events.
		l.known[event.Totals].Sent += l.perCPU[cpu].Sent[bpf.TcptraceTtKindTT_CLOSED]
		l.known[event.Totals].Lost += l.perCPU[cpu].Lost[bpf.TcptraceTtKindTT_CLOSED]
	}
	for kind, count := range l.skipped {
		l.known[kind].Sent += count
		l.known[kind].Lost += count
	}
	return nil
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

// askSkipped counts as lost what our programs would have told had the kernel
// not skipped them: it does not start a program on a CPU where that program
// was interrupted, or, where tracepoints are preemptible, preempted
// (kernel/trace/bpf_trace.c, bpf_trace_run; kernel/bpf/trampoline.c). A timer
// that was skipped so may have been somebody else's: rather one too many.
func (l *ledger) askSkipped() error {
	clear(l.skipped[:])
	for _, h := range l.programs.hooks {
		program, loaded := l.programs.collection.Programs[h.program]
		if !loaded || h.tells == 0 {
			continue
		}
		stats, err := program.Stats()
		if err != nil {
			return fmt.Errorf("read how often the kernel skipped %s: %w", h.program, err)
		}
		l.skipped[h.tells] += stats.RecursionMisses
	}
	return nil
}

// report calls handle with a Lost event for each kind of which events were
// lost since it was last called, and says whether there was one. Of what the
// kernel skipped it knows after askEvery at most, or now if this is the last time.
func (l *ledger) report(now event.Time, last bool, handle event.Handler) (any bool, err error) {
	before, from := l.known, l.checked
	if last || now.Sub(l.asked) >= askEvery {
		if err := l.askSkipped(); err != nil {
			return false, err
		}
		from, l.asked = l.asked, now
	}
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
			Loss: event.Loss{Kind: event.Kind(kind), Count: lost, From: from},
		})
	}
	l.checked = now
	return any, nil
}

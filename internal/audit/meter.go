package audit

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
)

// A Source hands over events in order of time until ctx is done, and then what
// it still holds, as trace.Source does.
type Source interface {
	Run(ctx context.Context, handle event.Handler) error
}

// A Reading is the kernel's figures of one network namespace.
type Reading struct {
	NetNS  uint32
	Name   string // "host", that of "ip netns", of a process in it; "" where none is known
	Window Window
	Values *Values

	FinTimeout time.Duration // tcp_fin_timeout; 0 where it could not be read
}

// A Meter runs a source and holds a Tally of its events against the kernel's
// counters. Its methods are called in order: Begin, Run, Report.
type Meter struct {
	// OnEnd, if set, gets the last readings, at their place among the events.
	OnEnd func([]Reading)
	// Uncounted says to read alone: there will be no Report.
	Uncounted bool

	read     func() ([]Reading, error) // of the namespaces that are audited
	replayed bool

	mu     sync.Mutex // no event is handled while the last reading is taken
	tally  *Tally
	before []Reading
	after  []Reading
	ended  bool
	err    error
}

// newMeter returns a Meter that reads by read.
func newMeter(read func() ([]Reading, error)) *Meter {
	return &Meter{read: read, tally: NewTally()}
}

// Tally returns what has been counted so far, for what is to be said of the
// host before the Report.
func (m *Meter) Tally() *Tally { return m.tally }

// Begin reads the kernel's figures for the first time. Every program must be
// attached, and no event handed over yet.
func (m *Meter) Begin() error {
	readings, err := m.read()
	if err != nil {
		return fmt.Errorf("read the kernel's counters: %w", err)
	}
	m.TakeBegin(readings)
	return nil
}

// Begun returns the first readings.
func (m *Meter) Begun() []Reading { return m.before }

// Run runs the source. When ctx is done, the figures are read again before the
// source is told, so that it still sees everything then.
func (m *Meter) Run(ctx context.Context, source Source, handle event.Handler) error {
	if m.replayed {
		return source.Run(ctx, m.counted(handle))
	}
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(done)
		defer stop()
		m.end()
	})
	err := source.Run(inner, m.counted(handle))
	if !cancel() {
		<-done
	}
	m.tell()
	return err
}

// counted counts each event before handle has it.
func (m *Meter) counted(handle event.Handler) event.Handler {
	return func(ev *event.Event) {
		m.mu.Lock()
		if !m.Uncounted {
			m.tally.Handle(ev)
		}
		ended := m.ended
		m.mu.Unlock()
		if ended {
			m.tell()
		}
		handle(ev)
	}
}

// tell hands on the last readings, once.
func (m *Meter) tell() {
	if m.ended && m.err == nil && m.OnEnd != nil {
		m.OnEnd(m.after)
		m.OnEnd = nil
	}
}

func (m *Meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	var after []Reading
	after, m.err = m.read()
	m.takeEnd(after)
}

// A Space is the audit of one network namespace.
type Space struct {
	Reading      // the last one
	New     bool // it was not there when the trace began
	Lines   []Line
}

// A Report is the whole audit.
type Report struct {
	Spaces []Space
	Gone   []Reading // namespaces that ended before the audit; their last figures went with them
	Lost   uint64    // events
}

// Report compares. It fails where the figures could not be read.
func (m *Meter) Report() (*Report, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.err != nil:
		return nil, fmt.Errorf("read the kernel's counters: %w", m.err)
	case m.replayed && (m.before == nil || !m.ended):
		return nil, errNotRecorded
	case !m.ended:
		return nil, fmt.Errorf("read the kernel's counters: the trace ended by itself")
	}
	r := &Report{Lost: m.tally.Lost()}
	begun := map[uint32]*Reading{}
	for i := range m.before {
		begun[m.before[i].NetNS] = &m.before[i]
	}
	for i := range m.after {
		after := m.after[i]
		before := begun[after.NetNS]
		delete(begun, after.NetNS)
		if before != nil && before.Values.exceeds(after.Values) {
			before = nil // another namespace has got the number
		}
		space := Space{Reading: after, New: before == nil}
		var values *Values
		if before != nil {
			values = before.Values
		}
		space.Lines = m.tally.Compare(after.NetNS, values, after.Values)
		r.Spaces = append(r.Spaces, space)
	}
	for _, before := range begun {
		r.Gone = append(r.Gone, *before)
	}
	slices.SortFunc(r.Gone, func(a, b Reading) int { return cmp.Compare(a.NetNS, b.NetNS) })
	return r, nil
}

// Has reports whether a namespace is in the report, be it as one that is gone.
func (r *Report) Has(netns uint32) bool {
	return slices.ContainsFunc(r.Spaces, func(s Space) bool { return s.NetNS == netns }) ||
		slices.ContainsFunc(r.Gone, func(g Reading) bool { return g.NetNS == netns })
}

// Holds reports whether every line does.
func (r *Report) Holds() bool {
	for i := range r.Spaces {
		for j := range r.Spaces[i].Lines {
			if !r.Spaces[i].Lines[j].Holds() {
				return false
			}
		}
	}
	return true
}

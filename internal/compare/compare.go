// Package compare holds one trace against another: what each process's
// connections did before, and what they do after, a deploy say. Processes are
// the same if they have the same name: numbers change. It reads no clock and does
// no I/O.
package compare

import (
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// maxTimes bounds the times kept for the percentiles of one state of one process.
// Of more, one in two is kept, then one in four, and so on.
const maxTimes = 1 << 17

// A Side is one of the two traces.
type Side struct {
	Lasted time.Duration
	Lost   uint64 // events

	begin, end event.Time
	processes  map[string]*process
}

// NewSide returns a Side that has seen nothing.
func NewSide() *Side { return &Side{processes: map[string]*process{}} }

// A process is all processes with one name; "" are those that are not known.
type process struct {
	counts map[string]uint64
	times  [tcp.NumStates]times
}

// times are those spent in one state.
type times struct {
	all    []time.Duration
	stride int // one in so many is kept; 0 stands for 1
	count  int
	max    time.Duration
}

func (t *times) add(d time.Duration) {
	t.count++
	t.max = max(t.max, d)
	if t.stride > 1 && t.count%t.stride != 0 {
		return
	}
	if len(t.all) >= maxTimes {
		for i := range len(t.all) / 2 {
			t.all[i] = t.all[2*i+1]
		}
		t.all = t.all[:len(t.all)/2]
		t.stride = max(t.stride, 1) * 2
	}
	t.all = append(t.all, d)
}

// rank returns the nearest-rank percentile.
func (t *times) rank(percent int) time.Duration {
	if len(t.all) == 0 {
		return 0
	}
	slices.Sort(t.all)
	return t.all[max((len(t.all)*percent+99)/100, 1)-1]
}

func (s *Side) of(t *event.Task) *process {
	name := ""
	for _, c := range t.Comm {
		if c == 0 || !t.Known() {
			break
		}
		name += string(rune(c))
	}
	p := s.processes[name]
	if p == nil {
		p = &process{counts: map[string]uint64{}}
		s.processes[name] = p
	}
	return p
}

// Show takes in one change. It makes no records.
func (s *Side) Show(c *conn.Change) bool {
	if s.begin == 0 {
		s.begin = c.Time
	}
	s.end = max(s.end, c.Time)
	s.Lasted = s.end.Sub(s.begin)
	switch {
	case c.Kind == conn.Lost:
		s.Lost += c.Event.Loss.Count
	case c.Kind == conn.Failed:
		s.of(&c.Event.Task).counts["failed "+c.Event.Op.String()+"() "+c.Event.Err.String()] += uint64(max(1, c.Event.Count))
	case c.Kind == conn.Ended && !c.Conn.Listener():
		s.ended(c)
	}
	return false
}

// Flush does nothing.
func (s *Side) Flush() error { return nil }

// Findings takes in the diagnoses of the whole trace, once.
func (s *Side) Findings(all []diagnose.Finding) {
	for i := range all {
		s.of(&all[i].Process.Task).counts["finding "+all[i].Rule.Name] += all[i].Count
	}
}

func (s *Side) ended(ch *conn.Change) {
	c := ch.Conn
	p := s.of(&c.Owner.Task)
	p.counts["connections"]++
	if c.Closed != 0 {
		if end := c.End.String(); end != "" {
			p.counts["ended by "+end]++
		}
	} else if c.State != tcp.TimeWait {
		p.counts["open at the end"]++
	}
	if cause := c.ResetCause.String(); cause != "" && cause != "unknown" {
		p.counts["reset: "+cause]++
	}
	for class, n := range c.Retransmits {
		if n > 0 {
			p.counts["retransmits "+conn.Class(class).String()] += uint64(n)
		}
	}
	for i := range c.Spans {
		span := &c.Spans[i]
		if !span.State.Valid() || span.State == tcp.Close {
			continue
		}
		end := span.End
		if end == 0 {
			end = max(ch.Time, span.Begin)
		}
		p.times[span.State].add(end.Sub(span.Begin))
	}
	for s := range p.times {
		if state := tcp.State(s); state.Valid() && beenIn(c, state) {
			p.counts["been in "+state.String()]++
		}
	}
}

func beenIn(c *conn.Connection, s tcp.State) bool {
	return s != tcp.Close && slices.ContainsFunc(c.Spans, func(x conn.Span) bool { return x.State == s })
}

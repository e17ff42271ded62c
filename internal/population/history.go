// Package population counts how many connections were in each state, over the
// time of a trace: changes in, counts out. It reads no clock and does no I/O.
package population

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Counts are how many connections, and listeners, are in each state.
type Counts [tcp.NumStates]int

// settled is how long after a trace's begin its first sweep may still find what
// was there at the begin.
const settled = 5 * time.Second

// A History holds the counts at instants that lie equally far apart. As the
// trace grows longer than there is room for, every second instant is given up.
// What comes and goes between two of them is not in it. It is not safe for
// concurrent use.
type History struct {
	begin   event.Time
	every   time.Duration
	steps   []Counts             // what each interval adds to the one before it
	states  map[uint32]tcp.State // of what is counted, by Connection.Number
	left    []left               // to be taken off if the trace goes on
	lossy   bool                 // events were lost
	started bool
}

// A left is what was open when it was last heard of: at the end of the trace,
// or, if more follows, because there was no room to follow it.
type left struct {
	state tcp.State
	at    event.Time
}

const (
	firstEvery = time.Millisecond
	leastSteps = 16
)

// NewHistory returns a History of at most so many instants, 16 or more.
func NewHistory(instants int) *History {
	return &History{
		every: firstEvery, steps: make([]Counts, 1, max(instants, leastSteps)),
		states: map[uint32]tcp.State{},
	}
}

// Begin says when the trace began. Without it that is the first change's time.
func (h *History) Begin(t event.Time) {
	if !h.started {
		h.begin, h.started = t, true
	}
}

// Show takes in one change. It needs all of a connection's Transition,
// Corrected, Found and Ended.
func (h *History) Show(c *conn.Change) {
	h.Begin(c.Time)
	switch c.Kind {
	case conn.Lost:
		h.lossy = true
		return
	case conn.Transition, conn.Corrected, conn.Found, conn.Ended:
	default:
		return
	}
	h.settle(c.Time)
	if c.Kind == conn.Ended {
		h.end(c)
		return
	}
	now := c.New
	old, counted := h.states[c.Conn.Number]
	if !counted {
		old = h.before(c)
	}
	h.add(c.Time, old, -1)
	h.add(c.Time, now, 1)
	if now == tcp.Close {
		delete(h.states, c.Conn.Number)
	} else {
		h.states[c.Conn.Number] = now
	}
}

// before returns the state that a connection was in when the trace began, and
// counts it there: Close if it did not exist.
func (h *History) before(c *conn.Change) tcp.State {
	if c.Conn.OpenedKnown || h.lossy {
		return tcp.Close
	}
	state := c.Old
	if c.Kind == conn.Found {
		if c.Time.Sub(h.begin) > settled {
			return tcp.Close
		}
		state = c.New
	}
	if !state.Valid() {
		return tcp.Close
	}
	h.add(h.begin, state, 1)
	return state
}

func (h *History) end(c *conn.Change) {
	state, counted := h.states[c.Conn.Number]
	if !counted {
		return
	}
	delete(h.states, c.Conn.Number)
	if c.Conn.Closed == 0 {
		h.left = append(h.left, left{state, c.Time})
		return
	}
	h.add(c.Time, state, -1)
}

// settle takes off what was given up before now.
func (h *History) settle(now event.Time) {
	if len(h.left) == 0 || h.left[len(h.left)-1].at >= now {
		return
	}
	for _, l := range h.left {
		h.add(l.at, l.state, -1)
	}
	h.left = h.left[:0]
}

func (h *History) add(at event.Time, state tcp.State, n int) {
	if !state.Valid() || state == tcp.Close {
		return
	}
	i := max(int(at.Sub(h.begin)/h.every), 0)
	for i >= cap(h.steps) {
		h.halve()
		i = int(at.Sub(h.begin) / h.every)
	}
	for len(h.steps) <= i {
		h.steps = append(h.steps, Counts{})
	}
	h.steps[i][state] += n
}

// halve makes each two intervals one.
func (h *History) halve() {
	n := (len(h.steps) + 1) / 2
	for i := range n {
		sum := h.steps[2*i]
		if 2*i+1 < len(h.steps) {
			for s, d := range h.steps[2*i+1] {
				sum[s] += d
			}
		}
		h.steps[i] = sum
	}
	h.steps = h.steps[:n]
	h.every *= 2
}

// A Series is a History made readable.
type Series struct {
	Begin event.Time
	Every time.Duration // between two of At

	// At[i] are the counts at Begin + (i+1)·Every, or at the end of the trace
	// if that comes first. Peaks[i] are the greatest of the instants since
	// At[i-1], that one and At[i] included: a short stay is in them.
	At, Peaks []Counts
	Most      Counts // the greatest of each
}

// Time returns when the counts At[i] were taken.
func (s *Series) Time(i int, until event.Time) event.Time {
	return min(s.Begin.Add(time.Duration(i+1)*s.Every), until)
}

// Series returns the counts from the begin of the trace until a time, at most
// n of them; 0: as many as there are.
func (h *History) Series(until event.Time, n int) *Series {
	s := &Series{Begin: h.begin, Every: h.every}
	last := max(int((until-h.begin-1)/event.Time(h.every)), 0)
	group := 1
	if n > 0 {
		group = last/n + 1
	}
	s.Every *= time.Duration(group)
	var now, peak Counts
	for i := 0; i <= last; i++ {
		if i < len(h.steps) {
			for state, d := range h.steps[i] {
				now[state] += d
			}
		}
		if i == last && last+1 < len(h.steps) { // what happened at until itself
			for _, step := range h.steps[last+1:] {
				for state, d := range step {
					now[state] += d
				}
			}
		}
		for state, n := range now {
			peak[state] = max(peak[state], n)
			s.Most[state] = max(s.Most[state], n)
		}
		if i%group == group-1 || i == last {
			s.At, s.Peaks = append(s.At, now), append(s.Peaks, peak)
			peak = now
		}
	}
	return s
}

package probe

import (
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
)

// settle is how long an event may take from its time stamp to its place in
// the ring, an interrupt between the two included.
const settle = time.Millisecond

// A finding is what a sweep found, as an event to be.
type finding interface {
	fill(ev *event.Event)
}

// A fact waits for its turn: a record of the ring, or a finding.
type fact struct {
	at    event.Time
	raw   []byte
	kept  bool // raw is a copy
	found finding
}

// An order puts facts, which come from several CPUs, in order of time. It keeps
// the newest back until no older one can be on its way. A record stays in the
// ring, and is not decoded, until its turn, unless that comes later than the
// next reading of the ring: then it is copied.
type order struct {
	facts  []fact
	copies []byte     // that facts refer to
	spare  []byte     // takes the place of copies
	last   event.Time // the latest of all
	turn   int        // the place of the fact that is being handed over
	sorted bool
	mixed  bool // findings are among them, far from their places
}

// add takes a record of the ring, with its time.
func (o *order) add(at event.Time, raw []byte) {
	o.take(fact{at: at, raw: raw})
}

// merge takes a finding.
func (o *order) merge(at event.Time, found finding) {
	o.mixed = true
	o.take(fact{at: at, found: found})
}

func (o *order) take(f fact) {
	o.facts = append(o.facts, f)
	o.sorted = o.sorted && f.at >= o.last
	o.last = max(o.last, f.at)
}

// release hands over, in order of time, the facts up to the horizon, and then
// refers to the ring no more. It stops at the first error.
func (o *order) release(horizon event.Time, tell func(*fact) error) error {
	if !o.sorted {
		o.sort()
	}
	done := 0
	for ; done < len(o.facts) && o.facts[done].at <= horizon; done++ {
		o.turn = done
		if err := tell(&o.facts[done]); err != nil {
			return err
		}
	}
	o.keep(done)
	return nil
}

// follows reports whether behind the fact that is being handed over, up to the
// time limit, there is such a record.
func (o *order) follows(limit event.Time, such func(raw []byte) bool) bool {
	for _, f := range o.facts[o.turn+1:] {
		if f.at > limit {
			return false
		}
		if f.raw != nil && such(f.raw) {
			return true
		}
	}
	return false
}

// sort sorts the facts; those of one time stay in their order. What CPUs wrote
// side by side is almost in order, for which inserting is the fastest.
func (o *order) sort() {
	const shifts = 16 // for each fact, that are worth it
	left := shifts * len(o.facts)
	for i := 1; i < len(o.facts) && !o.mixed; i++ {
		f, to := o.facts[i], i
		for ; to > 0 && o.facts[to-1].at > f.at; to-- {
			o.facts[to] = o.facts[to-1]
			left--
		}
		o.facts[to] = f
		o.mixed = left < 0
	}
	if o.mixed {
		slices.SortStableFunc(o.facts, func(a, b fact) int { return int(a.at.Sub(b.at)) })
	}
	o.sorted, o.mixed = true, false
}

// keep forgets the first facts, which are done, and copies what the others have
// in the ring.
func (o *order) keep(done int) {
	copies := o.copies
	if done > 0 {
		copies = o.spare[:0]
		left := copy(o.facts, o.facts[done:])
		clear(o.facts[left:])
		o.facts = o.facts[:left]
	}
	for i := range o.facts {
		f := &o.facts[i]
		if f.found != nil || f.kept && done == 0 {
			continue
		}
		start := len(copies)
		copies = append(copies, f.raw...) // where that moves them, older slices stay valid
		f.raw, f.kept = copies[start:], true
	}
	if done > 0 {
		o.spare = o.copies
	}
	o.copies = copies
}

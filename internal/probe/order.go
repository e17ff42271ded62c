package probe

import (
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
)

// settle is how long an event may take from its time stamp to its place in
// the ring, an interrupt between the two included.
const settle = time.Millisecond

const (
	// batch is how many records are put in order at a time. They have to stay
	// in the processor's cache from then until they are decoded.
	batch = 2048

	// chunk is how many bytes of copies lie together.
	chunk = 64 << 10
)

// A finding is what a sweep found, as an event to be.
type finding interface {
	fill(ev *event.Event)
}

// A fact is a record of the ring that waits for its turn.
type fact struct {
	at   event.Time
	raw  []byte
	kept bool // raw is a copy
}

// A sighting is a finding that waits for its turn.
type sighting struct {
	at    event.Time
	found finding
}

// An order puts facts, which come from several CPUs, and sightings in order of
// time. It keeps the newest back until no older one can be on its way. A record
// stays in the ring, and is not decoded, until its turn, unless that comes later
// than the next reading of the ring: then it is copied.
type order struct {
	facts  []fact
	done   int        // of them, whose turn is over: the place of the one that is being handed over
	copies []byte     // the latest chunk of those that facts refer to
	spare  []byte     // takes the place of copies
	last   event.Time // the latest of facts
	sorted bool

	sightings []sighting
	seen      int // of them, whose turn is over
	arranged  bool
}

// add takes a record of the ring, with its time.
func (o *order) add(at event.Time, raw []byte) {
	o.facts = append(o.facts, fact{at: at, raw: raw})
	o.sorted = o.sorted && at >= o.last
	o.last = max(o.last, at)
}

// expect makes room for n findings.
func (o *order) expect(n int) { o.sightings = slices.Grow(o.sightings, n) }

// merge takes a finding.
func (o *order) merge(at event.Time, found finding) {
	o.sightings = append(o.sightings, sighting{at, found})
	o.arranged = false
}

// release hands over, in order of time, the facts and findings up to the horizon,
// and then refers to the ring no more. Of findings it hands over a batch at most,
// and says whether there are more: the ring has to be read meanwhile, however
// many a sweep has found. It stops at the first error.
func (o *order) release(horizon event.Time, tell func(*fact) error, see func(finding)) (more bool, err error) {
	o.sort()
	for limit := o.seen + batch; ; {
		f, s := o.next(horizon)
		switch {
		case f != nil:
			if err := tell(f); err != nil {
				return false, err
			}
			o.done++
		case s == nil || o.seen == limit:
			o.keep()
			return s != nil, nil
		default:
			see(s.found)
			o.seen++
		}
	}
}

// next returns the fact, or else the sighting, whose turn it is, or neither.
func (o *order) next(horizon event.Time) (*fact, *sighting) {
	var s *sighting
	if o.seen < len(o.sightings) && o.sightings[o.seen].at <= horizon {
		s = &o.sightings[o.seen]
		horizon = s.at
	}
	if o.done < len(o.facts) && o.facts[o.done].at <= horizon {
		return &o.facts[o.done], nil
	}
	return nil, s
}

// follows reports whether behind the fact that is being handed over, up to the
// time limit, there is such a record.
func (o *order) follows(limit event.Time, such func(raw []byte) bool) bool {
	for _, f := range o.facts[o.done+1:] {
		if f.at > limit {
			return false
		}
		if such(f.raw) {
			return true
		}
	}
	return false
}

// sort sorts what waits; facts of one time stay in their order. What CPUs wrote
// side by side is almost in order, for which inserting is the fastest.
func (o *order) sort() {
	if !o.arranged {
		slices.SortStableFunc(o.sightings[o.seen:], func(a, b sighting) int { return int(a.at.Sub(b.at)) })
		o.arranged = true
	}
	if o.sorted {
		return
	}
	const shifts = 16 // for each fact, that are worth it
	facts := o.facts[o.done:]
	left := shifts * len(facts)
	for i := 1; i < len(facts) && left >= 0; i++ {
		f, to := facts[i], i
		for ; to > 0 && facts[to-1].at > f.at; to-- {
			facts[to] = facts[to-1]
			left--
		}
		facts[to] = f
	}
	if left < 0 {
		slices.SortStableFunc(facts, func(a, b fact) int { return int(a.at.Sub(b.at)) })
	}
	o.sorted = true
}

// keep forgets what is done, and copies what the other facts have in the ring.
// While few of many are done, they stay: to move the others takes its time.
func (o *order) keep() {
	if o.seen == len(o.sightings) {
		o.sightings, o.seen = nil, 0
	}
	copies, forget := o.copies, o.done > len(o.facts)/2
	if forget {
		copies = o.spare[:0]
		left := copy(o.facts, o.facts[o.done:])
		clear(o.facts[left:])
		o.facts, o.done = o.facts[:left], 0
	}
	for i := o.done; i < len(o.facts); i++ {
		f := &o.facts[i]
		if f.kept && !forget {
			continue
		}
		if len(f.raw) > cap(copies)-len(copies) {
			copies = make([]byte, 0, max(chunk, len(f.raw))) // the full one stays while facts refer to it
		}
		start := len(copies)
		copies = append(copies, f.raw...)
		f.raw, f.kept = copies[start:], true
	}
	if forget {
		o.spare = o.copies
	}
	o.copies = copies
}

package governor

import (
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
)

// Samples knows what was left out when, which tells how many connections one
// stands for that was told of. The zero Samples is of a trace that leaves out
// nothing.
type Samples struct {
	changes []change // oldest first
}

type change struct {
	from event.Time
	what event.Shedding
}

const (
	// maxChanges is how many are remembered: events are younger than the eldest.
	maxChanges = 32

	// settled is how long after more connections are told of again all those
	// that are open have become known: a sweep finds them.
	settled = 15 * time.Second
)

// Add says what is left out from a time on, which is later than those before.
func (s *Samples) Add(from event.Time, what event.Shedding) {
	if len(s.changes) == maxChanges {
		s.changes = slices.Delete(s.changes, 0, 1)
	}
	s.changes = append(s.changes, change{from, what})
}

// At returns what was left out at a time.
func (s *Samples) At(t event.Time) event.Shedding {
	for _, c := range slices.Backward(s.changes) {
		if c.from <= t {
			return c.what
		}
	}
	return event.Shedding{}
}

// Open returns by what the open connections are to be counted at a time, the
// present: those that it tells of are all known, and stand for all.
func (s *Samples) Open(now event.Time) event.Shedding {
	most := s.At(now)
	for i, c := range s.changes {
		ended := i+1 < len(s.changes) && now.Sub(s.changes[i+1].from) >= settled
		if !ended && c.from <= now && c.what.Sockets > most.Sockets {
			most = c.what
		}
	}
	return most
}

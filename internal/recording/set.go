package recording

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"
)

// A Set is several recordings, each of another host, or of another time.
type Set struct {
	Recordings []*Recording // the one that began first comes first
}

// Open opens recordings. "-" is standard input. Files that one recording was
// rotated into are one Recording, whatever their order; one in between that is
// missing is an error.
func Open(paths ...string) (*Set, error) {
	var parts []*part
	fail := func(err error) (*Set, error) {
		for _, p := range parts {
			p.close()
		}
		return nil, err
	}
	for _, path := range paths {
		p, err := openPart(path)
		if err != nil {
			return fail(err)
		}
		parts = append(parts, p)
	}
	slices.SortStableFunc(parts, func(a, b *part) int {
		x, y := a.reader.Info(), b.reader.Info()
		return cmp.Or(x.Boot.Add(x.Began.Sub(0)).Compare(y.Boot.Add(y.Began.Sub(0))), cmp.Compare(x.Session, y.Session), cmp.Compare(x.Part, y.Part))
	})
	s := &Set{}
	for begin := 0; begin < len(parts); {
		end := begin + 1
		for ; end < len(parts); end++ {
			before, info := parts[end-1].reader.Info(), parts[end].reader.Info()
			if info.Session != before.Session {
				break
			}
			if info.Part == before.Part {
				return fail(fmt.Errorf("%s and %s are the same recording; give it once", parts[end-1].path, parts[end].path))
			}
			if info.Part != before.Part+1 {
				return fail(fmt.Errorf("part %d of the recording is missing between %s and %s; give it too",
					before.Part+1, parts[end-1].path, parts[end].path))
			}
		}
		s.Recordings = append(s.Recordings, newRecording(parts[begin:end]))
		begin = end
	}
	if len(s.Recordings) > 1 {
		s.inStep()
	}
	return s, nil
}

// Close ends the use of all.
func (s *Set) Close() {
	for _, r := range s.Recordings {
		r.close()
	}
}

// inStep has the recordings take turns, so that together they hand over what
// they have in the order of the wall clock, one at a time. Each Run is then to
// be called from a goroutine of its own, and Done after it.
func (s *Set) inStep() {
	t := &table{next: make([]int64, len(s.Recordings))}
	for i, r := range s.Recordings {
		t.next[i] = math.MinInt64 // until it says more, nobody may go on
		r.turn = &turn{table: t, at: i, ready: sync.NewCond(&t.mu)}
		t.turns = append(t.turns, r.turn)
	}
}

// A table is where recordings take turns.
type table struct {
	mu    sync.Mutex
	next  []int64 // the wall clock of what each has next
	turns []*turn
}

// A turn is one recording's place at the table.
type turn struct {
	table *table
	at    int
	until int64 // it may go on as far as this without asking
	ready *sync.Cond
}

// await returns when nobody has anything earlier than wall.
func (t *turn) await(wall int64) {
	if wall < t.until {
		return
	}
	t.table.mu.Lock()
	defer t.table.mu.Unlock()
	t.table.next[t.at] = wall
	for {
		first, second := t.table.first()
		if first == t.at {
			t.until = second
			return
		}
		t.table.turns[first].ready.Signal()
		t.ready.Wait()
	}
}

// end leaves the table.
func (t *turn) end() {
	t.table.mu.Lock()
	defer t.table.mu.Unlock()
	t.table.next[t.at] = math.MaxInt64
	first, _ := t.table.first()
	t.table.turns[first].ready.Signal()
}

// first returns who is the first, and what the second has.
func (t *table) first() (at int, second int64) {
	second = math.MaxInt64
	for i, next := range t.next[1:] {
		if next < t.next[at] {
			at, second = i+1, min(second, t.next[at])
		} else {
			second = min(second, next)
		}
	}
	return at, second
}

package conn

import (
	"testing"

	"github.com/tcptrace/tcptrace/internal/event"
)

// The table does what a map does, through growth, collisions and removals.
func TestTable_IsAMap(t *testing.T) {
	tab := newTable()
	want := map[event.ID]uint32{}
	state := uint64(88172645463325252)
	for step := range 300_000 {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		span := uint64(20 << (step / 30_000)) // more and more identities
		id := event.ID{NetNS: uint32(state>>60) & 1, Cookie: (state>>8)%span + 1}
		switch state >> 4 & 3 {
		case 0, 1:
			tab.put(id, uint32(step+1))
			want[id] = uint32(step + 1)
		case 2:
			if seat := want[id]; seat != 0 {
				tab.remove(id, seat)
				delete(want, id)
			}
		case 3:
			tab.remove(id, 1<<30) // another of the same identity
		}
		if got := tab.get(id); got != want[id] {
			t.Fatalf("step %d: %v is %d, want %d", step, id, got, want[id])
		}
		if tab.count != len(want) {
			t.Fatalf("step %d: %d counted, want %d", step, tab.count, len(want))
		}
	}
	for id, seat := range want {
		if tab.get(id) != seat {
			t.Errorf("%v is not found", id)
		}
	}
	if len(want) < 1000 {
		t.Errorf("only %d in the end", len(want))
	}
}

// Cookies come one after the other: they must not gather in one place.
func TestTable_SpreadsCookies(t *testing.T) {
	for range 20 { // seeds
		tab := newTable()
		for cookie := range uint64(48_000) {
			tab.put(event.ID{NetNS: 4026531840, Cookie: cookie + 1}, uint32(cookie)+1)
		}
		total, worst := 0, 0
		for i, s := range tab.slots {
			if s.seat != 0 {
				far := (i - tab.home(event.ID{NetNS: s.netns, Cookie: s.cookie})) & (len(tab.slots) - 1)
				total += far
				worst = max(worst, far)
			}
		}
		if mean := float64(total) / 48_000; mean > 3 || worst > 200 {
			t.Errorf("%.1f slots from home on average, %d at worst", mean, worst)
		}
	}
}

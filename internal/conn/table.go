package conn

import (
	"hash/maphash"
	"math/bits"

	"github.com/tcptrace/tcptrace/internal/event"
)

// A table maps the identities of connections to the numbers of their seats. It is
// what Handle spends most of its time in, and does what it needs in one cache
// miss: open addressing with linear probing, at most three quarters full. It is
// never ranged over, so its seed does not show in what the tracker emits.
type table struct {
	slots []slot // a power of two of them
	shift uint8  // 64 less the binary logarithm of len(slots)
	count int
	seed  uint64
}

type slot struct {
	cookie uint64
	netns  uint32
	seat   uint32 // 0: the slot is free
}

func (s *slot) is(id event.ID) bool { return s.cookie == id.Cookie && s.netns == id.NetNS }

const minSlots = 64

func newTable() table {
	return table{
		slots: make([]slot, minSlots),
		shift: uint8(64 - bits.TrailingZeros(minSlots)),
		seed:  maphash.Bytes(maphash.MakeSeed(), nil),
	}
}

// home returns the slot at which the search for id begins.
func (t *table) home(id event.ID) int {
	hi, lo := bits.Mul64(id.Cookie^t.seed, 0x9e3779b97f4a7c15^uint64(id.NetNS)<<1)
	return int((hi ^ lo) * 0x9e3779b97f4a7c15 >> t.shift)
}

// get returns the seat of id, or 0.
func (t *table) get(id event.ID) uint32 {
	for i := t.home(id); ; i = (i + 1) & (len(t.slots) - 1) {
		s := &t.slots[i]
		if s.seat == 0 || s.is(id) {
			return s.seat
		}
	}
}

// put makes seat that of id, in place of any other.
func (t *table) put(id event.ID, seat uint32) {
	if (t.count+1)*4 > len(t.slots)*3 {
		t.grow()
	}
	i := t.home(id)
	for t.slots[i].seat != 0 && !t.slots[i].is(id) {
		i = (i + 1) & (len(t.slots) - 1)
	}
	if t.slots[i].seat == 0 {
		t.count++
	}
	t.slots[i] = slot{id.Cookie, id.NetNS, seat}
}

// remove removes id, if seat is still its. What comes behind it moves up, so that
// each search still ends at the first free slot.
func (t *table) remove(id event.ID, seat uint32) {
	mask := len(t.slots) - 1
	i := t.home(id)
	for ; t.slots[i].seat != seat; i = (i + 1) & mask {
		if t.slots[i].seat == 0 {
			return
		}
	}
	t.count--
	for j := i; ; {
		j = (j + 1) & mask
		s := &t.slots[j]
		if s.seat == 0 {
			break
		}
		home := t.home(event.ID{NetNS: s.netns, Cookie: s.cookie})
		if (j-home)&mask >= (j-i)&mask {
			t.slots[i] = *s
			i = j
		}
	}
	t.slots[i] = slot{}
}

func (t *table) grow() {
	old := t.slots
	t.slots = make([]slot, 2*len(old))
	t.shift--
	t.count = 0
	for i := range old {
		if s := &old[i]; s.seat != 0 {
			t.put(event.ID{NetNS: s.netns, Cookie: s.cookie}, s.seat)
		}
	}
}

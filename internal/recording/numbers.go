package recording

// numbers finds the numbers of what rows refer to, of one kind of it, when writing.
// What came last often comes again: it is found without asking the map, at a place
// that the caller makes of it.
type numbers[K comparable] struct {
	all    map[K]uint32
	recent [256]numbered[K]
}

type numbered[K comparable] struct {
	key   K
	after uint32 // 1 + its number; 0: the place is free
}

// of returns the number of a key, if it has one.
func (n *numbers[K]) of(key *K, place uint64) (number uint32, ok bool) {
	last := &n.recent[place%uint64(len(n.recent))]
	if last.after != 0 && last.key == *key {
		return last.after - 1, true
	}
	if number, ok = n.all[*key]; ok {
		*last = numbered[K]{*key, number + 1}
	}
	return number, ok
}

// add gives a key, which has none, its number.
func (n *numbers[K]) add(key *K, place uint64, number uint32) {
	n.all[*key] = number
	n.recent[place%uint64(len(n.recent))] = numbered[K]{*key, number + 1}
}

// clear forgets all.
func (n *numbers[K]) clear() {
	if n.all == nil {
		n.all = map[K]uint32{}
	}
	clear(n.all)
	clear(n.recent[:])
}

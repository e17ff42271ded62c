package proc

// An lru is a map of at most size entries. When it is full, a new entry
// replaces the one that was neither read nor written for the longest time.
type lru[K comparable, V any] struct {
	size    int
	entries map[K]*entry[K, V]
	ends    entry[K, V] // ends.next is the latest used, ends.prev the one to go next
}

type entry[K comparable, V any] struct {
	key        K
	value      V
	prev, next *entry[K, V]
}

func newLRU[K comparable, V any](size int) *lru[K, V] {
	l := &lru[K, V]{size: max(size, 1), entries: make(map[K]*entry[K, V])}
	l.ends.prev, l.ends.next = &l.ends, &l.ends
	return l
}

func (l *lru[K, V]) get(key K) (V, bool) {
	e, ok := l.entries[key]
	if !ok {
		var none V
		return none, false
	}
	if l.ends.next != e {
		e.unlink()
		l.first(e)
	}
	return e.value, true
}

func (l *lru[K, V]) put(key K, value V) {
	e, ok := l.entries[key]
	switch {
	case ok:
		e.unlink()
	case len(l.entries) == l.size:
		e = l.ends.prev // reused for the new entry
		e.unlink()
		delete(l.entries, e.key)
	default:
		e = new(entry[K, V])
	}
	e.key, e.value = key, value
	l.entries[key] = e
	l.first(e)
}

func (l *lru[K, V]) first(e *entry[K, V]) {
	e.prev, e.next = &l.ends, l.ends.next
	e.prev.next, e.next.prev = e, e
}

func (e *entry[K, V]) unlink() {
	e.prev.next, e.next.prev = e.next, e.prev
}

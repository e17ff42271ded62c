package diagnose

import (
	"cmp"
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/event"
)

// A tally counts by something, for the first few of it: enough to say which has
// most of all.
type tally[K comparable] struct {
	counts map[K]uint64
	total  uint64
	more   bool // there were others
}

const maxTally = 256

func (t *tally[K]) add(k K) {
	t.total++
	if t.counts == nil {
		t.counts = map[K]uint64{}
	}
	if _, ok := t.counts[k]; !ok && len(t.counts) >= maxTally {
		t.more = true
		return
	}
	t.counts[k]++
}

// top returns which has most; of equals the least, so that it is always the
// same.
func (t *tally[K]) top(less func(a, b K) int) (best K, n uint64) {
	for k, c := range t.counts {
		if c > n || c == n && less(k, best) < 0 {
			best, n = k, c
		}
	}
	return best, n
}

func topAddr(t *tally[netip.Addr]) (netip.Addr, uint64) { return t.top(netip.Addr.Compare) }

func topEndpoint(t *tally[netip.AddrPort]) (netip.AddrPort, uint64) {
	return t.top(netip.AddrPort.Compare)
}

func topProcess(t *tally[*process]) *process {
	p, _ := t.top(func(a, b *process) int { return cmp.Compare(a.pid(), b.pid()) })
	return p
}

// A window counts what happened in the last ten seconds.
type window struct {
	seconds [windowSeconds]uint32
	newest  int64
}

const windowSeconds = 10

func (w *window) move(now event.Time) {
	second := int64(now) / 1e9
	if second-w.newest >= windowSeconds {
		w.seconds = [windowSeconds]uint32{}
		w.newest = second
	}
	for w.newest < second {
		w.newest++
		w.seconds[w.newest%windowSeconds] = 0
	}
}

func (w *window) add(at event.Time, n uint32) {
	w.move(at)
	if second := int64(at) / 1e9; w.newest-second < windowSeconds {
		w.seconds[second%windowSeconds] += n
	}
}

// sum returns how much happened in the last ten seconds, this one included.
func (w *window) sum(now event.Time) (n uint64) {
	w.move(now)
	for _, s := range w.seconds {
		n += uint64(s)
	}
	return n
}

// rate returns what happened per second, over the whole seconds that are over.
func (w *window) rate(now event.Time) float64 {
	w.move(now)
	n := w.sum(now) - uint64(w.seconds[w.newest%windowSeconds])
	return float64(n) / (windowSeconds - 1)
}

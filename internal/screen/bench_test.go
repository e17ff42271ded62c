package screen

import (
	"runtime"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
)

// BenchmarkDraw makes a View, without a new list, and its picture: what is done
// four times a second.
func BenchmarkDraw(b *testing.B) {
	h := busy(&testing.T{}, 80, 24)
	h.key("2")
	v := h.model.View(h.display.query)
	for b.Loop() {
		h.model.Advance(h.model.now + event.Time(250*ms))
		h.shared.view.Store(h.model.Refresh(v.Query, v.Body))
		h.display.look()
		h.display.View()
	}
}

// BenchmarkFeed takes in the changes of one connection, whose peer resets it, and
// a View as often as a Screen makes one at 1,000 such connections a second. A
// million of them (-benchtime=1000000x) say what memory they leave behind.
func BenchmarkFeed(b *testing.B) {
	h := newHost(&testing.T{}, 80, 24)
	h.model.Advance(event.Time(1 * s))
	b.ReportAllocs()
	lives := 0
	for b.Loop() {
		flood(func(ev *event.Event) { h.tracker.Handle(ev, h.model.Show) }, lives, 1)
		if lives++; lives%500 == 0 {
			h.model.Advance(event.Time(10*s + time.Duration(lives)*time.Millisecond))
			h.model.View(h.display.query)
		}
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "MB-kept")
	runtime.KeepAlive(h)
}

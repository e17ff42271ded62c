package screen

import (
	"testing"

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

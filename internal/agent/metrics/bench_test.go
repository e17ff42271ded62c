package metrics

import (
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
)

// What both ends of one connection cost, from the first event to the end of
// TIME_WAIT: the tracker alone, and with its metrics.
func BenchmarkConnection(b *testing.B) {
	m, err := New(Options{Labels: []string{LabelPort, LabelProcess, LabelRole}, MaxSeries: DefaultMaxSeries, Expire: DefaultExpire, Histograms: Both})
	if err != nil {
		b.Fatal(err)
	}
	for name, handle := range map[string]conn.Handler{"tracker": func(*conn.Change) {}, "metrics": m.Show} {
		b.Run(name, func(b *testing.B) {
			events := story.Plain()
			t := conn.New(conn.Options{Reuse: true})
			shift := event.Time(0)
			for b.Loop() {
				for i := range events {
					ev := events[i]
					ev.Time += shift
					if ev.ID.Cookie != 0 {
						ev.ID.Cookie += uint64(shift)
					}
					t.Handle(&ev, handle)
				}
				shift += event.Time(time.Millisecond)
			}
		})
	}
}

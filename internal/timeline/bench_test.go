package timeline

import (
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// What one connection's life of four states costs beside the tracker.
func BenchmarkCollector(b *testing.B) {
	events := lives(1)
	l := NewCollector(Options{})
	t := conn.New(conn.Options{Reuse: true})
	show := func(c *conn.Change) { l.Show(c) }
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		for i := range events {
			ev := events[i]
			ev.ID.Cookie = uint64(n + 1)
			ev.Time += event.Time(n) * event.Time(time.Second)
			t.Handle(&ev, show)
		}
	}
}

// What one redrawing costs when as many connections are kept as can be.
func BenchmarkChart_Full(b *testing.B) {
	l := NewCollector(Options{})
	tell(l, lives(60_000), 0)
	v := View{Now: event.Time(60_000 * time.Second), Window: time.Minute, Height: 40}
	b.ReportAllocs()
	for b.Loop() {
		l.Chart(v).Draw(60)
	}
}

func BenchmarkChart_FullAll(b *testing.B) {
	l := NewCollector(Options{})
	tell(l, lives(60_000), 0)
	v := View{Now: event.Time(60_000 * time.Second), Rows: 100}
	for b.Loop() {
		l.Chart(v).Draw(60)
	}
}

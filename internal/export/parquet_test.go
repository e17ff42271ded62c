package export

import (
	"bytes"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
)

// Rows are of what a table is of, and of nothing else. What other readers make of
// them is tested in duckdbtest.
func TestParquet_Rows(t *testing.T) {
	events := append(story.Plain(), story.Listener()...)
	for name, of := range map[string]struct {
		table func(*bytes.Buffer) *Parquet
		rows  uint64
	}{
		"connections": {func(b *bytes.Buffer) *Parquet { return NewConnections(b, "test") }, 2},
		"events":      {func(b *bytes.Buffer) *Parquet { return NewEvents(b, "test") }, 13},
	} {
		var out bytes.Buffer
		p := of.table(&out)
		story.Tell(events, 100*time.Second, func(c *conn.Change) {
			if _, err := p.Add(c, Origin{Host: "web-1", Clock: story.Clock}); err != nil {
				t.Fatal(err)
			}
		})
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		f, err := parquet.OpenFile(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil {
			t.Fatal(err)
		}
		if p.Rows() != of.rows || f.NumRows() != int64(of.rows) {
			t.Errorf("%s: %d rows are written, and %d said, want %d", name, f.NumRows(), p.Rows(), of.rows)
		}
	}
}

func BenchmarkConnections(b *testing.B) {
	var ends []conn.Change
	story.Tell(story.Plain(), 100*time.Second, func(c *conn.Change) {
		if c.Kind == conn.Ended {
			ends = append(ends, conn.Change{Kind: c.Kind, Time: c.Time, Conn: c.Conn})
		}
	})
	var out bytes.Buffer
	p := NewConnections(&out, "test")
	n := 0
	for b.Loop() {
		c := ends[n%len(ends)]
		life := *c.Conn
		life.ID.Cookie, life.Opened = uint64(n), life.Opened+event.Time(n*1000)
		c.Conn = &life
		if _, err := p.Add(&c, Origin{Host: "web-1", Clock: story.Clock}); err != nil {
			b.Fatal(err)
		}
		n++
	}
	if err := p.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(out.Len())/float64(n), "bytes/row")
}

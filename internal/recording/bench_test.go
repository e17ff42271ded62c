package recording

import (
	"bytes"
	"io"
	"testing"
)

// counted counts what is written.
type counted struct{ n int }

func (c *counted) Write(b []byte) (int, error) {
	c.n += len(b)
	return len(b), nil
}

// Each iteration records 100,000 connections between processes of one host:
// 1,700,000 events. "B/connection" is of both ends together.
func BenchmarkWriter(b *testing.B) {
	const connections = 100_000
	events := churn(connections)
	b.ReportAllocs()
	b.ResetTimer()
	var out counted
	for range b.N {
		out.n = 0
		w, err := NewWriter(&out, testInfo())
		if err != nil {
			b.Fatal(err)
		}
		for i := range events {
			w.Event(&events[i])
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(out.n)/connections, "B/connection")
	b.ReportMetric(float64(b.N*len(events))/b.Elapsed().Seconds(), "events/s")
}

// Each iteration reads them again.
func BenchmarkReader(b *testing.B) {
	events := churn(100_000)
	var file bytes.Buffer
	w, err := NewWriter(&file, testInfo())
	if err != nil {
		b.Fatal(err)
	}
	for i := range events {
		w.Event(&events[i])
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		r, err := NewReader(bytes.NewReader(file.Bytes()))
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for {
			if _, err := r.Next(); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
			n++
		}
		r.Close()
		if n != len(events) {
			b.Fatalf("%d events, want %d", n, len(events))
		}
	}
	b.ReportMetric(float64(b.N*len(events))/b.Elapsed().Seconds(), "events/s")
}

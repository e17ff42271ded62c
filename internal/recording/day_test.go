package recording

import (
	"bytes"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A day of a connection a second is 1,468,800 events. Who reads and tracks them
// needs as much memory in its last hours as after the first six, to within 4 MB: the
// reader's buffers are of blocks, which are not all as large.
func TestReplay_ADayNeedsNoMoreThanAMorning(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	const connections, quarter = 24 * 3600, 6 * 3600 * event.Time(1e9)
	var file bytes.Buffer
	if err := writeDay(&file, connections); err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	tracker := conn.New(conn.Options{Reuse: true})
	ended := 0
	count := func(c *conn.Change) {
		if c.Kind == conn.Ended && c.Conn.Complete {
			ended++
		}
	}
	var used []int64
	next := quarter
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind != EventEntry {
			continue
		}
		if e.Event.Time >= next {
			next += quarter
			used = append(used, heapInUse())
		}
		tracker.Handle(&e.Event, count)
	}
	if ended != 2*connections || tracker.Stats().Live != 0 {
		t.Errorf("%d whole lives, %d live in the end, want %d and 0", ended, tracker.Stats().Live, 2*connections)
	}
	if grown := used[len(used)-1] - used[0]; len(used) != 4 || grown > 4<<20 {
		t.Errorf("after each six hours %d bytes are in use", used)
	}
}

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// writeDay records a connection a second, both ends; TIME_WAIT lasts a minute.
func writeDay(out io.Writer, connections int) error {
	w, err := NewWriter(out, testInfo())
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(5, 6))
	const second = event.Time(1e9)
	var waiting []event.Event
	expire := func(until event.Time) {
		for len(waiting) > 0 && waiting[0].Time <= until {
			w.Event(&waiting[0])
			waiting = waiting[1:]
		}
	}
	for i := range connections {
		now := second * event.Time(i+1)
		expire(now)
		for _, ev := range life(i, random) {
			now += 20_000
			ev.Time = now
			w.Event(&ev)
			if ev.Kind == event.TimeWaitBegin {
				ev.Kind, ev.Old, ev.New, ev.Left, ev.Cause = event.TimeWaitEnd, tcp.TimeWait, 0, 0, event.CauseExpired
				ev.Time += 60 * second
				waiting = append(waiting, ev)
			}
		}
	}
	expire(second * event.Time(connections+100))
	return w.Close()
}

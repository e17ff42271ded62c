package perfetto

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	ms = time.Millisecond
	s  = time.Second
)

var update = flag.Bool("update", false, "write the golden files")

// A traceFile is what a reader of the format sees.
type traceFile struct {
	OtherData   map[string]string
	TraceEvents []traceEvent
}

type traceEvent struct {
	Ph, Name, Cat, S string
	PID, TID         int64
	TS, Dur          json.Number
	Args             map[string]any
}

func (e *traceEvent) ns(n json.Number) int64 {
	whole, fraction, _ := strings.Cut(n.String(), ".")
	var v int64
	_, _ = fmt.Sscan(whole+(fraction + "000")[:3], &v)
	return v
}

// tell returns the trace of events as it is written while a tracker reuses its
// memory.
func tell(t *testing.T, options Options, events []event.Event, end time.Duration) []byte {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, options)
	tracker := conn.New(conn.Options{Reuse: true})
	show := func(c *conn.Change) { w.Show(c) }
	for i := range events {
		tracker.Handle(&events[i], show)
	}
	tracker.Finish(event.Time(end), show)
	if err := w.Close(event.Time(end)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func read(t *testing.T, b []byte) *traceFile {
	t.Helper()
	var f traceFile
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&f); err != nil {
		t.Fatalf("%v in\n%s", err, b)
	}
	return &f
}

func TestWriter_Stories(t *testing.T) {
	for name, test := range map[string]struct {
		events []event.Event
		end    time.Duration
	}{
		"plain":   {story.Plain(), 80 * s},
		"lossy":   {story.Lossy(), 7 * s},
		"refused": {story.Refused(), 3 * s},
		"killed":  {story.Killed(), 13 * s},
		"hostile": {story.Hostile(), 2 * s},
	} {
		t.Run(name, func(t *testing.T) {
			got := tell(t, Options{Clock: story.Clock, Version: "tcptrace test", Host: "web-1", Kernel: "6.18.0"}, test.events, test.end)
			read(t, got)
			path := "testdata/" + name + ".json"
			if *update {
				if err := os.WriteFile(path, got, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// crowd is n lives of five processes, of random length, that overlap.
func crowd(n int) []event.Event {
	random := rand.New(rand.NewPCG(7, 11))
	var all []event.Event
	for i := range n {
		socket := story.NewSocket(uint64(0x1000+i), fmt.Sprintf("10.0.0.1:%d", 20000+i%40000), "10.9.8.7:443")
		at := time.Duration(random.Int64N(int64(20 * s)))
		by := story.Task(uint32(100+i%5), fmt.Sprint("worker", i%5))
		all = append(all, socket.Connect(at, ms, by)...)
		over := at + 2*ms + time.Duration(random.Int64N(int64(3*s)))
		all = append(all, story.By(by, socket.State(over, tcp.Established, tcp.FinWait1)))
		all = append(all, socket.State(over+ms, tcp.FinWait1, tcp.Close))
	}
	slices.SortStableFunc(all, func(a, b event.Event) int { return int(a.Time - b.Time) })
	return all
}

// Whoever reads the format stacks the slices of one track by their times: they
// must lie within each other, or apart.
func TestWriter_SlicesOfATrackNest(t *testing.T) {
	const lives = 1009
	f := read(t, tell(t, Options{}, crowd(lives), 30*s))
	type slice struct{ begin, end int64 }
	open := map[int64][]slice{}
	count := map[string]int{}
	var all []traceEvent
	for _, e := range f.TraceEvents {
		if e.Ph == "X" {
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b traceEvent) int { return int(a.ns(a.TS) - b.ns(b.TS)) })
	owner := map[int64]int64{}
	for _, e := range all {
		count[e.Cat]++
		if pid, known := owner[e.TID]; known && pid != e.PID {
			t.Fatalf("track %d belongs to the processes %d and %d", e.TID, pid, e.PID)
		}
		owner[e.TID] = e.PID
		one := slice{e.ns(e.TS), e.ns(e.TS) + e.ns(e.Dur)}
		stack := open[e.TID]
		for len(stack) > 0 && stack[len(stack)-1].end <= one.begin {
			stack = stack[:len(stack)-1]
		}
		if len(stack) > 0 && one.end > stack[len(stack)-1].end {
			t.Fatalf("%s at %s reaches beyond the slice that it lies in", e.Name, e.TS)
		}
		if depth := map[string]int{"connection": 0, "state": 1}[e.Cat]; len(stack) != depth {
			t.Fatalf("%s %s at %s lies %d deep, not %d", e.Cat, e.Name, e.TS, len(stack), depth)
		}
		open[e.TID] = append(stack, one)
	}
	if count["connection"] != lives || count["state"] != 3*lives {
		t.Errorf("%v, want %d connections with three states each", count, lives)
	}
	if len(owner) > lives/5 {
		t.Errorf("%d tracks for %d connections: they are not used again", len(owner), lives)
	}
}

func TestWriter_HostileNamesAreText(t *testing.T) {
	task := story.Task(66, "</script>\x00")
	task.Label = &event.Label{Unit: "a\"b\u202e\x1b[31m.service", Cgroup: "/x"}
	client := story.NewSocket(0xe1, "10.0.0.1:40001", "10.9.8.7:443")
	b := tell(t, Options{Host: "h\"\n<b>"}, client.Connect(1*s, ms, task), 2*s)
	for _, bad := range []string{"</script>", "\u202e", "\x1b", "<b>"} {
		if bytes.Contains(b, []byte(bad)) {
			t.Errorf("%q is in the file as it is", bad)
		}
	}
	f := read(t, b)
	if got := f.OtherData["host"]; got != `h"\x0a<b>` {
		t.Errorf("host %q", got)
	}
	var names []any
	for _, e := range f.TraceEvents {
		if e.Name == "process_name" && e.PID == 66 {
			names = append(names, e.Args["name"])
		}
		if e.Cat == "connection" {
			names = append(names, e.Args["unit"])
		}
	}
	if diff := cmp.Diff([]any{"</script>", `a"b\u202e\x1b[31m.service`}, names); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestWriter_OnlyTheStatesAskedFor(t *testing.T) {
	events := story.Join(story.Plain(), story.Refused())
	slices.SortStableFunc(events, func(a, b event.Event) int { return int(a.Time - b.Time) })
	f := read(t, tell(t, Options{States: []tcp.State{tcp.CloseWait}}, events, 80*s))
	var got []string
	for _, e := range f.TraceEvents {
		if e.Cat == "connection" {
			got = append(got, e.Name)
		}
	}
	if diff := cmp.Diff([]string{"from 10.0.0.1:40000"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestWriter_NothingSeen(t *testing.T) {
	f := read(t, tell(t, Options{}, nil, 3*s))
	for _, e := range f.TraceEvents {
		if e.Ph != "M" {
			t.Errorf("%s %s in a trace of nothing", e.Ph, e.Name)
		}
	}
}

type fullDisk struct{ room int }

var errFullDisk = errors.New("no space left on device")

func (f *fullDisk) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errFullDisk
	}
	return len(p), nil
}

func TestWriter_FullDisk(t *testing.T) {
	w := NewWriter(&fullDisk{room: 70 << 10}, Options{})
	story.Tell(crowd(1009), 30*s, func(c *conn.Change) { w.Show(c) })
	if err := w.Close(event.Time(30 * s)); !errors.Is(err, errFullDisk) {
		t.Errorf("Close returned %v", err)
	}
}

func BenchmarkWriter(b *testing.B) {
	events := crowd(10_000)
	b.ReportAllocs()
	for b.Loop() {
		w := NewWriter(&fullDisk{room: 1 << 40}, Options{})
		story.Tell(events, 30*s, func(c *conn.Change) { w.Show(c) })
		if err := w.Close(event.Time(30 * s)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/conn")
}

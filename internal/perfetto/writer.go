package perfetto

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/population"
	"github.com/tcptrace/tcptrace/internal/tcp"
	"github.com/tcptrace/tcptrace/internal/timeline"
)

// Options say what a trace is of. All may be empty; Clock should not.
type Options struct {
	Clock   event.Clock
	Version string // of tcptrace
	Host    string
	Kernel  string

	// States selects connections that have been in one of these. Empty selects
	// all. The counters count all.
	States []tcp.State
}

const (
	// maxOpen bounds the connections that are remembered until they end. It is
	// what the tracker follows.
	maxOpen = 1 << 20
	// lateReset is how long after a connection's end its RST may still come.
	lateReset = time.Second
	// instants bounds the values of each counter.
	instants = 4096
)

// A Writer writes a trace as changes come. A connection is written when it has
// ended, the counters at the end. Memory grows with the connections that are
// open, and not with those that were. It is not safe for concurrent use.
type Writer struct {
	out       *bufio.Writer
	collector *timeline.Collector
	history   *population.History
	processes map[int64]*process
	nextLane  int64
	begun     event.Time
	expired   event.Time
	last      event.Time
	object    object
	empty     bool // no event has been written
	strays    bool // their track has a name
	err       error
}

// NewWriter begins a trace on out. Close must be called; what was written
// without it is no JSON, though Perfetto reads it.
func NewWriter(out io.Writer, options Options) *Writer {
	w := &Writer{
		out:       bufio.NewWriterSize(out, 64<<10),
		history:   population.NewHistory(instants),
		processes: map[int64]*process{},
		nextLane:  firstLane,
		empty:     true,
	}
	w.collector = timeline.NewCollector(timeline.Options{
		MaxConnections: maxOpen, States: options.States, Dropped: w.connection,
	})
	w.head(&options)
	return w
}

// Begin says when the trace began. Without it that is the first change's time.
func (w *Writer) Begin(t event.Time) {
	w.begun = t
	w.collector.Begin(t)
	w.history.Begin(t)
}

// Show takes in one change, of any kind, and reports whether it was the end of a
// connection that is wanted. It keeps neither the change nor its connection. It
// should be shown Found and Owned too: see trace.Options.Every.
func (w *Writer) Show(c *conn.Change) bool {
	if w.begun == 0 {
		w.Begin(c.Time)
	}
	w.last = max(w.last, c.Time)
	w.history.Show(c)
	wanted := w.collector.Show(c)
	switch {
	case c.Kind == conn.Lost:
		w.lost(c)
	case c.Conn == nil && (c.Kind == conn.ResetSent || c.Kind == conn.ResetReceived):
		w.stray(c)
	}
	if w.last.Sub(w.expired) > lateReset/4 {
		w.expired = w.last
		w.collector.Expire(w.last.Add(-lateReset))
	}
	return wanted
}

// Flush hands on what has been written, and returns the first error of the
// output.
func (w *Writer) Flush() error {
	if err := w.out.Flush(); w.err == nil {
		w.err = err
	}
	return w.err
}

// Close writes what is open, which lasts until now, or until the last change if
// that is later, and the counters, and ends the trace. It returns the first error
// of the output.
func (w *Writer) Close(now event.Time) error {
	w.last = max(w.last, now)
	for _, c := range w.collector.Connections() {
		w.connection(c)
	}
	w.counters()
	_, _ = w.out.WriteString("\n]}\n") // Flush returns its error
	return w.Flush()
}

func (w *Writer) head(o *Options) {
	w.object.B = append(w.object.B[:0], '{')
	h := &w.object
	h.Word("displayTimeUnit", "ns")
	h.Open("otherData", '{')
	h.spelled("version", o.Version)
	h.spelled("host", o.Host)
	h.spelled("kernel", o.Kernel)
	h.Word("clock", "CLOCK_MONOTONIC")
	if !o.Clock.Boot.IsZero() {
		h.Word("clock_zero", o.Clock.Boot.UTC().Format(time.RFC3339Nano))
	}
	h.Close('}')
	h.Name("traceEvents")
	h.B = append(h.B, '[')
	_, _ = w.out.Write(h.B) // Flush returns its error
}

// begin begins an event, whose category and name are words of our own, in a track
// of a process; end writes it.
func (w *Writer) begin(phase, category, name string, pid, tid int64) *object {
	w.object.B = append(w.object.B[:0], ",\n{"...)
	if w.empty {
		w.object.B = append(w.object.B[:0], "\n{"...)
		w.empty = false
	}
	o := &w.object
	o.Word("ph", phase)
	o.Word("name", name)
	o.Int("pid", pid)
	o.Int("tid", tid)
	o.Word("cat", category)
	return o
}

// describe begins an event that is none but describes a track. Chrome writes a time
// and a category here too, and some readers want them.
func (w *Writer) describe(kind string, pid, tid int64) *object {
	o := w.begin("M", "__metadata", kind, pid, tid)
	o.at(0)
	o.Open("args", '{')
	return o
}

func (w *Writer) end() {
	w.object.Close('}')
	_, _ = w.out.Write(w.object.B) // Flush returns its error
}

// meta names a process or a track.
func (w *Writer) meta(kind string, pid, tid int64, name string) {
	o := w.describe(kind, pid, tid)
	o.spelled("name", name)
	o.Close('}')
	w.end()
}

// order says where the tracks of a process, or a track in its process, stand.
func (w *Writer) order(kind string, pid, tid, index int64) {
	o := w.describe(kind, pid, tid)
	o.Int("sort_index", index)
	o.Close('}')
	w.end()
}

// process returns the process that owns c, and its pid in the trace, and names it
// when it is first met, or met under another name.
func (w *Writer) process(c *conn.Connection) (*process, int64) {
	t := &c.Owner.Task
	pid, name := int64(t.PID), ""
	if !t.Known() {
		pid, name = nobody, "process not known"
	}
	p := w.processes[pid]
	if p != nil && p.comm == t.Comm {
		return p, pid
	}
	if name == "" {
		comm, _, _ := bytes.Cut(t.Comm[:], []byte{0})
		name = string(comm)
	}
	w.meta("process_name", pid, pid, name)
	if p == nil {
		p = &process{}
		w.processes[pid] = p
	}
	p.comm = t.Comm
	if l := t.Label; l != nil {
		o := w.describe("process_labels", pid, pid)
		o.spelled("labels", where(l))
		o.Close('}')
		w.end()
	}
	return p, pid
}

// where says in short where a process runs.
func where(l *event.Label) string {
	switch {
	case l.Container != "":
		return fmt.Sprintf("%s %.12s", l.Runtime, l.Container)
	case l.Unit != "":
		return l.Unit
	}
	return l.Cgroup
}

// stray writes a RST of no connection that is known.
func (w *Writer) stray(c *conn.Change) {
	if !w.strays {
		w.strays = true
		w.meta("thread_name", counters, strays, "RSTs of no connection")
	}
	w.mark(&timeline.Mark{Time: c.Time, Kind: c.Kind, State: c.Event.Old, Reason: c.Event.Reason}, counters, strays)
}

func (w *Writer) lost(c *conn.Change) {
	o := w.begin("i", "lost", "events lost", counters, counters)
	o.Word("s", "g")
	o.at(c.Time)
	o.Open("args", '{')
	o.Uint("count", c.Event.Loss.Count)
	o.Word("kind", c.Event.Loss.Kind.String())
	o.Close('}')
	w.end()
}

// counters writes how many connections were in each state, where that changed.
func (w *Writer) counters() {
	w.meta("process_name", counters, counters, "TCP states")
	w.order("process_sort_index", counters, counters, -1)
	series := w.history.Series(w.last, 0)
	for _, state := range tcp.States() {
		if series.Most[state] == 0 {
			continue
		}
		before := -1
		for i := range series.At {
			n := series.At[i][state]
			if n == before {
				continue
			}
			before = n
			at := series.Begin
			if i > 0 {
				at = series.Time(i, w.last)
			}
			o := w.begin("C", "states", state.String(), counters, counters)
			o.at(at)
			o.Open("args", '{')
			o.Int("connections", int64(n))
			o.Close('}')
			w.end()
		}
	}
}

package main

import (
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/record"
	"github.com/tcptrace/tcptrace/internal/render"
	"github.com/tcptrace/tcptrace/internal/timeline"
)

const (
	defaultRows   = 100
	defaultWidth  = 100 // where there is no terminal
	redrawEvery   = 250 * time.Millisecond
	redrawShare   = 20          // drawing takes at most 1/20 of the time
	lateResetWait = time.Second // a RST may follow its connection's end by less
)

// A timelineSink gathers what it is shown, draws it on a screen, if it has
// one, and at the end on its output.
type timelineSink struct {
	collector *timeline.Collector
	text      render.Timeline
	out       io.Writer
	rows      int
	window    time.Duration
	screen    *fullScreen // nil: only at the end
	begin     event.Time  // when Flush was called first
	flushed   event.Time  // and last
	due       time.Time   // of the next drawing
	scratch   []byte
	now       func() event.Time
}

func newTimelineSink(t *timelineCommand, out io.Writer, clock event.Clock) *timelineSink {
	s := &timelineSink{
		collector: timeline.NewCollector(timeline.Options{States: t.been.States}),
		text: render.Timeline{
			Options: render.Options{Color: t.colored(out), Clock: clock},
			ASCII:   t.ascii || !utf8Locale(),
		},
		out: out, rows: int(min(t.rows, 1<<30)), window: t.window, now: t.now,
	}
	if f, ok := out.(*os.File); ok && !t.plain && t.playing == nil && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd())) {
		s.screen = newFullScreen(f)
	}
	return s
}

func (s *timelineSink) Show(c *conn.Change) bool { return s.collector.Show(c) }

// Flush draws again if it is time to.
func (s *timelineSink) Flush() error {
	s.flushed = s.now()
	if s.begin == 0 {
		s.begin = s.flushed
		s.collector.Begin(s.begin)
	}
	if s.screen == nil {
		return nil
	}
	width, height, resized := s.screen.size()
	began := time.Now()
	if !resized && began.Before(s.due) {
		return nil
	}
	s.text.Width, s.text.Height = width, height
	view := timeline.View{Now: s.flushed, Window: s.window, Height: max(1, height-s.text.Frame())}
	if view.Window == 0 {
		view.Window = liveWindow(s.flushed.Sub(s.begin))
	}
	s.scratch = s.text.Append(s.scratch[:0], s.collector.Chart(view))
	err := s.screen.show(s.scratch, height)
	s.due = began.Add(max(redrawEvery, redrawShare*time.Since(began)))
	return err
}

// liveWindow returns how much a live chart shows after it has run for so long:
// a minute, the length of TIME_WAIT, as soon as there is so much.
func liveWindow(ran time.Duration) time.Duration {
	for _, window := range []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second} {
		if ran <= window {
			return window
		}
	}
	return time.Minute
}

// finish leaves the screen and draws all that was seen.
func (s *timelineSink) finish() error {
	if s.screen != nil {
		s.screen.close()
	}
	s.text.Width, s.text.Height = outputWidth(s.out), 0
	chart := s.collector.Chart(timeline.View{Now: s.flushed, Window: s.window, Rows: s.rows})
	_, err := s.out.Write(s.text.Append(s.scratch[:0], chart))
	return err
}

// outputWidth returns the columns of a terminal; else what COLUMNS says.
func outputWidth(out io.Writer) int {
	if f, ok := out.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	if width, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && width > 0 {
		return min(width, 1000)
	}
	return defaultWidth
}

// utf8Locale reports whether the user's terminal understands UTF-8, as the
// locale says.
func utf8Locale() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := strings.ToLower(os.Getenv(name)); value != "" {
			return strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
		}
	}
	return false
}

// A timelineJSON writes a line for each connection when it is over for good,
// and what remains at the end.
type timelineJSON struct {
	lines
	collector *timeline.Collector
	clock     event.Clock
	now       func() event.Time
}

func newTimelineJSON(t *timelineCommand, out io.Writer, clock event.Clock) *timelineJSON {
	s := &timelineJSON{lines: newLines(out), clock: clock, now: t.now}
	s.collector = timeline.NewCollector(timeline.Options{States: t.been.States, Dropped: s.connection})
	return s
}

func (s *timelineJSON) Show(c *conn.Change) bool {
	if c.Kind == conn.Lost {
		s.scratch = record.Append(s.scratch[:0], c, s.clock)
		s.write()
	}
	return s.collector.Show(c)
}

func (s *timelineJSON) connection(r *timeline.Connection) {
	s.scratch = record.AppendTimeline(s.scratch[:0], r, s.collector.Last(), s.clock)
	s.write()
}

func (s *timelineJSON) Flush() error {
	s.collector.Expire(s.now().Add(-lateResetWait))
	return s.lines.Flush()
}

func (s *timelineJSON) finish() error {
	for _, r := range s.collector.Connections() {
		s.connection(r)
	}
	for _, p := range s.collector.Processes(s.collector.Last()) {
		s.scratch = record.AppendTimelineProcess(s.scratch[:0], p, s.collector.Last(), s.clock)
		s.write()
	}
	return s.lines.Flush()
}

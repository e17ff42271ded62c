package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/tcptrace/tcptrace/internal/audit"
	"github.com/tcptrace/tcptrace/internal/census"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/recording"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// A capture records what a live command traces, as it traces it: "record", and
// "--record" of the others.
type capture struct {
	recorder *recording.Recorder
	survey   *survey
	cancel   context.CancelFunc // ends the trace
	progress *progress          // nil: nobody looks
	events   uint64
	lost     uint64
	began    event.Time
	at       event.Time // of the last tick
}

// newCapture makes the file.
func newCapture(path string, options recording.FileOptions) (*capture, error) {
	recorder, err := recording.Create(path, options)
	if err != nil {
		return nil, err
	}
	c := &capture{recorder: recorder}
	if c.survey, err = newSurvey(recorder); err != nil {
		recorder.Discard()
		return nil, err
	}
	return c, nil
}

// begin writes down what is known of the host before the first event. The
// programs are attached by then.
func (c *capture) begin(ctx context.Context, l *live, source *probe.Source, label census.Labeler, stderr io.Writer) error {
	c.began = monotonic()
	info := recording.Info{
		Program: version(), Kernel: probe.ExamineHost().Kernel, Machine: runtime.GOARCH,
		Boot: source.Clock().Boot, Began: c.began, Filter: l.filter, Sparse: l.probe.FiltersProcesses(),
	}
	info.Host, _ = os.Hostname() // "" where it has none
	if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		info.BootID = strings.TrimSpace(string(id))
	}
	var session [8]byte
	_, _ = rand.Read(session[:]) // it never fails
	info.Session = hex.EncodeToString(session[:])
	for _, has := range source.Capabilities() {
		info.Capabilities = append(info.Capabilities, recording.Capability{
			Name: has.Name, Grade: string(has.Grade), Hook: has.Hook, Lost: has.Lost,
		})
	}
	if l.probe.NoSweep {
		return c.recorder.Begin(info, nil, nil, nil)
	}
	spaces, people, sockets, err := c.survey.begin(ctx, l.filter.NetNS, label, stderr)
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(stderr, "tcptrace: the recording has no snapshot of the sockets that are there now: %v\n", err)
	}
	return c.recorder.Begin(info, spaces, people, sockets)
}

// counters has the kernel's counters recorded that the meter reads, if there is one:
// those that it has read, and those of the end.
func (c *capture) counters(meter *audit.Meter) {
	if meter == nil {
		return
	}
	c.recorder.Counters(countersOf(meter.Begun(), false))
	meter.OnEnd = func(last []audit.Reading) { c.recorder.Counters(countersOf(last, true)) }
}

// tap returns source with what it hands over being recorded, after it is shown:
// what showing it has found out must come first in the recording.
func (c *capture) tap(source trace.Source) trace.Source { return tapped{source, c.take} }

// take hands on one event, and records it.
func (c *capture) take(ev *event.Event, handle event.Handler) {
	c.survey.meet(ev.ID.NetNS)
	handle(ev)
	c.recorder.Event(ev)
	c.events++
	if ev.Kind == event.Lost {
		c.lost += ev.Loss.Count
	}
}

// A tapped source lets somebody else have each event.
type tapped struct {
	source trace.Source
	each   func(ev *event.Event, handle event.Handler)
}

func (t tapped) Run(ctx context.Context, handle event.Handler) error {
	return t.source.Run(ctx, func(ev *event.Event) { t.each(ev, handle) })
}

// tick says that all events up to now were taken in, and shown.
func (c *capture) tick(now event.Time) {
	c.survey.renew()
	c.recorder.Tick(now)
	c.at = now
	if c.recorder.Err() != nil {
		c.cancel()
	}
	if c.progress != nil {
		c.progress.show(c)
	}
}

// end ends the recording.
func (c *capture) end() error {
	if c.progress != nil {
		c.progress.clear()
	}
	_ = c.survey.Close()
	return c.recorder.Close()
}

// abandon removes the file of a trace that did not begin.
func (c *capture) abandon() {
	_ = c.survey.Close()
	c.recorder.Discard()
}

package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/recording"
	"github.com/tcptrace/tcptrace/internal/render"
)

// A screenRecorder begins and ends recordings while the screen is open, on the
// goroutine of the trace.
type screenRecorder struct {
	live   *live
	source *probe.Source

	path  string // of the recording under way, or the last one; "" where there was none
	begun int
	done  []string // what is to be said at the end
	err   error    // why the last one did not become whole
}

// toggle begins a recording, or ends the one under way. One that --record began
// goes on.
func (r *screenRecorder) toggle() {
	switch {
	case r.live.save != "":
		r.err = fmt.Errorf("--record %s records already", r.live.save)
	case r.live.capture != nil:
		r.end()
	default:
		r.err = r.begin()
	}
}

// begin makes a file in the working directory, never in the place of another.
func (r *screenRecorder) begin() error {
	r.path = time.Now().Format("tcptrace-20060102-150405") + ".ttr"
	c, err := newCapture(r.path, recording.FileOptions{})
	if err != nil {
		return err
	}
	c.cancel = func() {} // what cannot be written ends the recording alone: see note
	if err := c.begin(context.Background(), r.live, r.source, r.live.label, io.Discard); err != nil {
		c.abandon()
		return err
	}
	r.live.capture = c
	r.begun++
	return nil
}

func (r *screenRecorder) end() {
	c := r.live.capture
	r.live.capture = nil
	r.err = c.end()
	bytes, _ := c.recorder.Written()
	r.done = append(r.done, fmt.Sprintf("recorded %s events in %s, %s; \"tcptrace why --from %s\" reads it",
		render.Count(c.events), r.path, inBytes(bytes), r.path))
}

// note says in the header how the recording stands.
func (r *screenRecorder) note() string {
	c := r.live.capture
	if c != nil && r.begun > 0 && c.recorder.Err() != nil {
		r.end()
		c = nil
	}
	switch {
	case r.err != nil:
		return "NOT RECORDED: " + r.err.Error()
	case c != nil && r.begun > 0:
		bytes, _ := c.recorder.Written()
		return "REC " + r.path + " " + inBytes(bytes)
	case r.live.save != "":
		return "REC " + r.live.save
	case r.path != "":
		return "recorded " + r.path
	}
	return ""
}

// conclude says, once the screen is gone, what was recorded. One that was under
// way has been ended with the trace.
func (r *screenRecorder) conclude(stderr io.Writer) {
	if c := r.live.capture; c != nil && r.begun > 0 {
		bytes, _ := c.recorder.Written()
		r.done = append(r.done, fmt.Sprintf("recorded %s events in %s, %s; \"tcptrace why --from %s\" reads it",
			render.Count(c.events), r.path, inBytes(bytes), r.path))
	}
	for _, text := range r.done {
		fmt.Fprintln(stderr, "tcptrace:", text)
	}
	if r.err != nil {
		fmt.Fprintln(stderr, "tcptrace: not recorded:", r.err)
	}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/recording"
	"github.com/tcptrace/tcptrace/internal/render"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// hostName says of which host a recording is.
func hostName(r *recording.Recording) string {
	if name := r.Info().Host; name != "" {
		return name
	}
	return "unknown host"
}

// hosts lets the sinks of several recordings write to one output, so that each
// line says of which host it is: a first column, or the member "host".
type hosts struct {
	under  io.Writer     // the output itself
	out    *bufio.Writer // the same
	json   bool
	width  int
	header []byte // the first line of all, which each sink writes, and one is enough
}

func newHosts(out io.Writer, json bool, all []*recording.Recording) *hosts {
	h := &hosts{under: out, out: bufio.NewWriterSize(out, 64<<10), json: json}
	if len(all) == 1 {
		return h
	}
	for _, r := range all {
		h.width = max(h.width, utf8.RuneCountInString(safeName(r)))
	}
	return h
}

func safeName(r *recording.Recording) string {
	return render.Safe(hostName(r))
}

// writer returns where the sink of a recording writes whole lines: the output
// itself, if that is the only one.
func (h *hosts) writer(r *recording.Recording) io.Writer {
	if h.width == 0 {
		return h.under
	}
	w := &hostWriter{hosts: h}
	if h.json {
		name, _ := json.Marshal(hostName(r)) // it is a string
		w.prefix = append(append([]byte(`{"host":`), name...), ',')
	} else {
		name := safeName(r)
		w.prefix = []byte(name + strings.Repeat(" ", h.width-utf8.RuneCountInString(name)+2))
	}
	return w
}

// A hostWriter takes whole lines of one host.
type hostWriter struct {
	hosts   *hosts
	prefix  []byte
	begun   bool
	scratch []byte
}

func (w *hostWriter) Write(text []byte) (int, error) {
	w.scratch = w.scratch[:0]
	for line := range bytes.Lines(text) {
		first := !w.begun
		w.begun = true
		switch {
		case w.hosts.json:
			w.scratch = append(append(w.scratch, w.prefix...), bytes.TrimPrefix(line, []byte("{"))...)
			continue
		case len(line) <= 1:
			w.scratch = append(w.scratch, line...)
			continue
		case first && bytes.Equal(line, w.hosts.header):
			continue
		case first && w.hosts.header == nil:
			w.hosts.header = bytes.Clone(line)
			w.scratch = append(w.scratch, "HOST"...)
			w.scratch = append(w.scratch, strings.Repeat(" ", max(len(w.prefix)-len("HOST"), 1))...)
			w.scratch = append(w.scratch, line...)
			continue
		}
		w.scratch = append(append(w.scratch, w.prefix...), line...)
	}
	if _, err := w.hosts.out.Write(w.scratch); err != nil {
		return 0, err
	}
	return len(text), nil
}

// A limit is of records, of all sinks together. They take turns.
type limit struct {
	left   uint64
	cancel context.CancelFunc
}

func newLimit(count uint64, cancel context.CancelFunc) *limit {
	if count == 0 {
		return nil
	}
	return &limit{count, cancel}
}

// A limited sink shows no more than is left.
type limited struct {
	trace.Sink
	limit *limit
}

func (s limited) Show(c *conn.Change) bool {
	if s.limit.left == 0 || !s.Sink.Show(c) {
		return false
	}
	if s.limit.left--; s.limit.left == 0 {
		s.limit.cancel()
	}
	return true
}

func (s limited) finish() error { return finish(s.Sink) }

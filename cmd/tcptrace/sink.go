package main

import (
	"bufio"
	"io"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/record"
	"github.com/tcptrace/tcptrace/internal/render"
)

// lines is the part that the sinks have in common: they append a line to
// scratch and write it.
type lines struct {
	out     *bufio.Writer
	scratch []byte
}

func newLines(out io.Writer) lines {
	size := 64 << 10
	if _, ok := out.(*hostWriter); ok {
		size = 16 // each line at once: those of several hosts are in order of time
	}
	return lines{out: bufio.NewWriterSize(out, size)}
}

// write hands on scratch. The error that a write may have, Flush returns.
func (l *lines) write() { _, _ = l.out.Write(l.scratch) }

func (l *lines) Flush() error { return l.out.Flush() }

// jsonSink writes each change that it is shown as a JSON line.
type jsonSink struct {
	lines
	clock event.Clock
	open  bool // connections that are still open at the end, too
}

func (s *jsonSink) Show(c *conn.Change) bool {
	if !s.open && c.Kind == conn.Ended && c.Conn.Closed == 0 {
		return false
	}
	s.scratch = record.Append(s.scratch[:0], c, s.clock)
	s.write()
	return true
}

// watchSink writes a line for each change but the ends, which it writes only
// if they were asked for, and gathers what is open at the end.
type watchSink struct {
	lines
	render.Options
	ends bool
	open render.Open
}

func (s *watchSink) Show(c *conn.Change) bool {
	if c.Kind == conn.Ended {
		if c.Conn.Closed == 0 {
			s.open.Add(c)
			return false
		}
		if !s.ends {
			return false
		}
	}
	s.scratch = s.AppendWatch(s.scratch[:0], c)
	s.write()
	return true
}

// connSink writes a line for each end.
type connSink struct {
	lines
	render.Options
	open bool // those that are still open at the end, too
}

func (s *connSink) Show(c *conn.Change) bool {
	if !s.open && c.Kind == conn.Ended && c.Conn.Closed == 0 {
		return false
	}
	s.scratch = s.AppendConn(s.scratch[:0], c)
	s.write()
	return true
}

package main

import (
	"io"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// A findingsSink shows the changes that are asked for, and between them the
// findings as they arise. To find them it must be shown all changes.
type findingsSink struct {
	why    *whySink
	shown  trace.Sink // of the changes; it writes to why's buffer
	filter filter.Filter
}

// watchFindings makes the sink of watch --kind finding. The filter of l, which
// asks for no kind and no state, is not that of what is shown.
func watchFindings(l *live, asked filter.Filter, out io.Writer, clock event.Clock, facts *diagnosis, shown func(lines) trace.Sink) *findingsSink {
	s := &findingsSink{why: newWhySink(l, false, out, clock, facts), filter: asked}
	s.why.beside = true
	s.shown = shown(lines{out: s.why.out})
	return s
}

var _ attacher = (*findingsSink)(nil)

func (s *findingsSink) attach(t *trace.Trace, source *probe.Source) { s.why.attach(t, source) }

func (s *findingsSink) Show(c *conn.Change) bool {
	told := s.why.Show(c)
	if trace.Selects(&s.filter, c) && s.shown.Show(c) {
		told = true
	}
	if failed, ok := trace.Errored(c); ok && trace.Selects(&s.filter, &failed) && s.shown.Show(&failed) {
		told = true
	}
	return told
}

func (s *findingsSink) Flush() error { return s.why.Flush() }

// finish writes all findings as they stand at the end.
func (s *findingsSink) finish() error { return s.why.finish() }

package main

import (
	"io"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/record"
	"github.com/tcptrace/tcptrace/internal/render"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// handedOver is how much older than the present an event is when it certainly
// has been seen.
const handedOver = 250 * time.Millisecond

// A whySink diagnoses what it is shown, and writes the findings: as they arise,
// and all of them at the end.
type whySink struct {
	lines
	engine *diagnose.Engine
	facts  *diagnosis
	text   *render.Findings // nil: JSON
	clock  event.Clock
	now    func() event.Time
	quiet  bool
	begin  event.Time // when Flush was called first
	end    event.Time // the present: when Flush was called last, or a later change
	due    event.Time // when Show looks for findings again
	told   bool       // since Show last counted a record
	beside bool       // another sink shows the changes themselves

	explain func(*diagnose.Finding) // adds what another host knows; nil: there is none
}

// tellEvery is how often Show looks for findings.
const tellEvery = 50 * time.Millisecond

func newWhySink(l *live, quiet bool, out io.Writer, clock event.Clock, facts *diagnosis) *whySink {
	s := &whySink{lines: newLines(out), engine: facts.engine(l), facts: facts, clock: clock, now: l.now, quiet: quiet, explain: l.explainer()}
	if l.format != "json" {
		s.text = &render.Findings{Options: render.Options{Color: l.colored(out), Clock: clock}, Width: outputWidth(out)}
	}
	return s
}

var _ attacher = (*whySink)(nil)

func (s *whySink) attach(_ *trace.Trace, source *probe.Source) { s.facts.attach(source) }

// Show counts findings that were told as a record, and nothing else.
func (s *whySink) Show(c *conn.Change) bool {
	s.engine.Handle(c)
	if s.text == nil && c.Kind == conn.Lost && !s.beside {
		s.scratch = record.Append(s.scratch[:0], c, s.clock)
		s.write()
	}
	s.end = max(s.end, c.Time) // before the first Flush, too
	if c.Time >= s.due {
		s.due = c.Time.Add(tellEvery)
		s.tell()
	}
	told := s.told
	s.told = false
	return told
}

// Flush lets time pass, which makes findings too.
func (s *whySink) Flush() error {
	s.end = s.now()
	if s.begin == 0 {
		s.begin = s.end
	}
	s.engine.Advance(s.end.Add(-handedOver))
	s.tell()
	return s.lines.Flush()
}

// tell writes what is new.
func (s *whySink) tell() {
	for _, f := range s.engine.Fresh() {
		if s.explain != nil {
			s.explain(&f)
		}
		switch {
		case s.quiet:
			continue
		case s.text == nil:
			s.scratch = record.AppendFinding(s.scratch[:0], &f, s.end, false, s.clock)
		case f.Severity == diagnose.Info && !f.Withdrawn:
			continue // at the end
		default:
			s.scratch = s.text.AppendLive(s.scratch[:0], &f, s.end)
		}
		s.write()
		s.told = true
	}
}

// finish writes all findings as they stand at the end.
func (s *whySink) finish() error {
	s.engine.Advance(s.end)
	all := s.engine.Findings()
	for i := range all {
		if s.explain != nil {
			s.explain(&all[i])
		}
	}
	if s.text == nil {
		for i := range all {
			s.scratch = record.AppendFinding(s.scratch[:0], &all[i], s.end, true, s.clock)
			s.write()
		}
		return s.lines.Flush()
	}
	stats := s.engine.Stats()
	s.scratch = s.text.AppendAll(s.scratch[:0], all, render.Verdict{
		Connections: stats.Connections, Lasted: s.end.Sub(s.begin), Lost: stats.Lost, Unfollowed: stats.Unfollowed,
	})
	s.write()
	return s.lines.Flush()
}

package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/probe"
	reports "github.com/tcptrace/tcptrace/internal/report"
	"github.com/tcptrace/tcptrace/internal/sysctl"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// A reportSink gathers what a page of one host shows.
type reportSink struct {
	collector *reports.Collector
	facts     reports.Facts
	now       func() event.Time
}

// newReportSink returns a sink without a collector, with what is known of the
// host.
func newReportSink(l *live, clock event.Clock) *reportSink {
	s := &reportSink{now: l.now, facts: reports.Facts{Clock: clock, Version: version(), Command: commandLine()}}
	if l.playing == nil {
		s.facts.Host, _ = os.Hostname() // "" where it has none
		s.facts.Kernel = kernelName(probe.ExamineHost().Kernel)
		s.facts.Source = "the running kernel"
		return s
	}
	info := l.playing.Info()
	s.facts.Host, s.facts.Kernel = info.Host, kernelName(info.Kernel)
	s.facts.Source = "a recording by " + info.Program
	for _, c := range info.Capabilities {
		s.facts.Capabilities = append(s.facts.Capabilities, reports.Capability{Name: c.Name, Grade: c.Grade, Hook: c.Hook, Lost: c.Lost})
	}
	return s
}

func kernelName(release string) string {
	if release == "" {
		return ""
	}
	return "Linux " + release
}

// commandLine spells the command as a shell would take it.
func commandLine() string {
	words := []string{"tcptrace"}
	for _, arg := range os.Args[1:] {
		if arg == "" || strings.ContainsFunc(arg, func(r rune) bool { return r <= ' ' || strings.ContainsRune("\"'`$&|;<>()*?[]#~\\!{}", r) }) {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}

// attach asks the live source what it can tell.
func (s *reportSink) attach(_ *trace.Trace, source *probe.Source) {
	for _, c := range source.Capabilities() {
		s.facts.Capabilities = append(s.facts.Capabilities, reports.Capability{
			Name: c.Name, Grade: string(c.Grade), Hook: c.Hook, Lost: c.Lost, Why: c.Why, Remedy: c.Remedy,
		})
	}
}

func (s *reportSink) Show(c *conn.Change) bool { return s.collector.Show(c) }

// Flush lets time pass, which makes findings too.
func (s *reportSink) Flush() error {
	if now := s.now(); now != 0 {
		s.collector.Begin(now)
		s.collector.Advance(now.Add(-handedOver))
	}
	return nil
}

// finish says that the trace is over.
func (s *reportSink) finish() error {
	s.collector.Advance(s.now())
	return nil
}

// settings returns what tells the sysctls of what is shown, the host's own if
// that is the running kernel.
func (l *live) settings(host *sysctl.Reader) diagnose.Settings {
	switch {
	case l.playing != nil:
		return l.playing
	case l.capture != nil: // which keeps what it answers
		return l.capture.survey
	case host != nil:
		return host
	}
	return nil
}

// writeSheets writes the page, of one host or several, and puts the file in its
// place. broken is why the trace ended early, or nil. It returns a verdict for
// each host.
func writeSheets(file *pageFile, sheets []*reportSink, summary trace.Summary, broken error) (verdicts []string, err error) {
	var pages []*reports.Page
	for i, s := range sheets {
		s.facts.Limits.Share = len(sheets)
		if len(sheets) > 1 {
			s.facts.Prefix = "h" + strconv.Itoa(i+1) + "-"
		} else {
			s.facts.Summary = summary
		}
		if broken != nil {
			s.facts.Notes = append(s.facts.Notes, "What was read ends early: "+broken.Error())
		}
		page := s.collector.Page(s.facts)
		pages = append(pages, page)
		verdicts = append(verdicts, page.Verdict)
	}
	if err := reports.Write(file, pages...); err != nil {
		return nil, err
	}
	return verdicts, file.commit()
}

// wrote tells that a file is there.
func wrote(stderr io.Writer, path string, more ...string) {
	size := ""
	if found, err := os.Stat(path); err == nil {
		size = fmt.Sprintf(" (%d kB)", (found.Size()+999)/1000)
	}
	fmt.Fprintf(stderr, "tcptrace: wrote %s%s", path, size)
	if text := strings.Join(more, "; "); text != "" {
		fmt.Fprintf(stderr, ": %s", text)
	}
	fmt.Fprintln(stderr)
}

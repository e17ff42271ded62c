package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/perfetto"
	"github.com/tcptrace/tcptrace/internal/probe"
	reports "github.com/tcptrace/tcptrace/internal/report"
	"github.com/tcptrace/tcptrace/internal/sysctl"
	"github.com/tcptrace/tcptrace/internal/tcp"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// timelineFiles are the files that a timeline is written to as well.
type timelineFiles struct {
	htmlPath, perfettoPath string
	force                  bool

	settings *sysctl.Reader // nil: not known
	html     *pageFile      // nil: not wanted
	perfetto *pageFile
	sheets   []*reportSink
	traces   int // that were begun in perfetto: one at most is good
}

func (t *timelineFiles) flags(fs *pflag.FlagSet) {
	fs.StringVar(&t.htmlPath, "html", "", "also write it to this `FILE`, as one page that zooms; \"tcptrace report\" has the findings too")
	fs.StringVar(&t.perfettoPath, "perfetto", "", "also write it to this `FILE`, in Chrome's trace format: ui.perfetto.dev and speedscope load it")
	fs.BoolVar(&t.force, "force", false, "replace these files if they exist")
}

// create begins the files that are wanted.
func (t *timelineFiles) create(cmd *cobra.Command) (err error) {
	if t.htmlPath == "-" || t.perfettoPath == "-" {
		return usagef("standard output has the timeline itself; name a file, or write \"tcptrace report -\"")
	}
	if t.htmlPath != "" {
		if t.html, err = createPage(t.htmlPath, t.force, cmd.OutOrStdout()); err != nil {
			return err
		}
		t.settings, _ = sysctl.NewReader(diagnose.Sysctls()) // without it the page has none
	}
	if t.perfettoPath != "" {
		if t.perfetto, err = createPage(t.perfettoPath, t.force, cmd.OutOrStdout()); err != nil {
			t.close()
		}
	}
	return err
}

// close removes what is not complete.
func (t *timelineFiles) close() {
	for _, f := range []*pageFile{t.html, t.perfetto} {
		if f != nil {
			f.abandon()
		}
	}
	if t.settings != nil {
		_ = t.settings.Close()
	}
}

// beside returns sink, and what writes the files beside it.
func (t *timelineFiles) beside(sink trace.Sink, l *live, clock event.Clock, states []tcp.State) trace.Sink {
	both := besides{Sink: sink, now: l.now}
	if t.html != nil {
		both.sheet = newReportSink(l, clock)
		both.sheet.facts.Settings = l.settings(t.settings)
		both.sheet.collector = reports.NewCollector(reports.Options{States: states})
		t.sheets = append(t.sheets, both.sheet)
	}
	if t.perfetto != nil {
		t.traces++
	}
	if t.traces == 1 {
		facts := newReportSink(l, clock).facts
		both.trace = perfetto.NewWriter(t.perfetto, perfetto.Options{
			Clock: clock, Version: facts.Version, Host: facts.Host, Kernel: facts.Kernel, States: states,
		})
	}
	if both.sheet == nil && both.trace == nil {
		return sink
	}
	return &both
}

// commit puts the files in their places.
func (t *timelineFiles) commit(stderr io.Writer, summary trace.Summary) error {
	if t.traces > 1 {
		return usagef("--perfetto takes the recording of one host; write a file for each")
	}
	if t.html != nil {
		if _, err := writeSheets(t.html, t.sheets, summary, nil); err != nil {
			return err
		}
		wrote(stderr, t.htmlPath)
	}
	if t.perfetto != nil {
		if err := t.perfetto.commit(); err != nil {
			return err
		}
		wrote(stderr, t.perfettoPath)
	}
	return nil
}

// besides shows to a sink what it shows to the files.
type besides struct {
	trace.Sink
	sheet *reportSink      // nil: no page
	trace *perfetto.Writer // nil: no trace
	now   func() event.Time
}

func (b *besides) attach(t *trace.Trace, source *probe.Source) {
	if b.sheet != nil {
		b.sheet.attach(t, source)
	}
}

func (b *besides) Show(c *conn.Change) bool {
	if b.sheet != nil {
		b.sheet.Show(c)
	}
	if b.trace != nil {
		b.trace.Show(c)
	}
	return b.Sink.Show(c)
}

func (b *besides) Flush() error {
	var err error
	if b.sheet != nil {
		err = b.sheet.Flush()
	}
	if b.trace != nil {
		err = errors.Join(err, b.trace.Flush())
	}
	return errors.Join(err, b.Sink.Flush())
}

func (b *besides) finish() error {
	var err error
	if b.sheet != nil {
		err = b.sheet.finish()
	}
	if b.trace != nil {
		err = errors.Join(err, b.trace.Close(b.now()))
	}
	return errors.Join(err, finish(b.Sink))
}

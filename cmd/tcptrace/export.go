package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/export"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/perfetto"
	"github.com/tcptrace/tcptrace/internal/recording"
	"github.com/tcptrace/tcptrace/internal/tcp"
	"github.com/tcptrace/tcptrace/internal/trace"
)

type exportCommand struct {
	live
	as     string // of exportFormats; "": by the name of to
	to     string
	events bool
	force  bool
}

const (
	asParquet  = "parquet"
	asJSON     = "json"
	asPerfetto = "perfetto"
)

var exportFormats = []string{asParquet, asJSON, asPerfetto}

func newExport() *cobra.Command {
	e := &exportCommand{}
	cmd := &cobra.Command{
		Use:   "export FILE... --to OUT [flags]",
		Short: "Write a recording as Parquet, JSON lines, or a trace for Perfetto and Chrome",
		Long: `Reads recordings (FILE, of "tcptrace record"; - is standard input) and writes what is in
them for other programs. Neither root nor Linux is needed.

  parquet   a table of connections: a row for each that ended, or was open at the end;
            with --events a table of events: a row for each line that "tcptrace watch"
            has, with --kind state,retransmit,reset,drop,error. Columns are never renamed;
            units are in their names; what is not known is null. zstd, so that DuckDB,
            Spark, pandas and others read it as it is
  json      the same records as "tcptrace conns --open -o json" has, one a line; with
            --events those of "tcptrace watch -o json" with these kinds
  perfetto  a trace in Chrome's format, for ui.perfetto.dev or chrome://tracing: a track
            for each process, a slice for each connection and each of its states,
            instants for retransmits and resets

Several recordings, of several hosts, make one table: the column or member "host" says
which. OUT's name says the format (.parquet, .jsonl, .ndjson, .trace.json);
--as says it otherwise. OUT is replaced only with --force, and appears when it is whole.

docs/export.md lists the columns, and has queries to begin with.`,
		Example: `  tcptrace export incident.ttr --to conns.parquet
  tcptrace export incident.ttr --to events.parquet --events --comm nginx
  tcptrace export web.ttr db.ttr --to both.parquet
  tcptrace export incident.ttr --to incident.trace.json       then open it in ui.perfetto.dev
  tcptrace export incident.ttr --as json --to - | jq 'select(.end == "reset_sent")'
  duckdb -c "select comm, quantile_cont(close_wait_ns, 0.99)/1e9 from 'conns.parquet' group by comm"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef(`which recording? write for example "tcptrace export incident.ttr --to conns.parquet"`)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return e.run(cmd, args) },
	}
	which := selectionFlags(&e.filter)
	labelFlags(which, &e.filter)
	stateFlag(which, &e.filter, "only those that have been in one of these states, and with --events transitions into one: `NAME`,...")
	out := newFlagSet()
	out.StringVar(&e.to, "to", "", "the file to write, `OUT`; - for standard output")
	out.Var(word{&e.as, exportFormats}, "as", "`FORMAT`: "+strings.Join(exportFormats, ", ")+" (default: by OUT's name)")
	out.BoolVar(&e.events, "events", false, "a row, or line, for each event, and not for each connection")
	e.durationFlag(out)
	out.BoolVar(&e.force, "force", false, "replace OUT if it exists")
	addFlags(cmd,
		flagGroup{"Which connections (a list is comma-separated: any of it; different flags: all of them)", which},
		flagGroup{"What is written", out})
	completeWords(cmd, "as", exportFormats...)
	completeList(cmd, "state", stateNames()...)
	return cmd
}

func (e *exportCommand) run(cmd *cobra.Command, files []string) (err error) {
	if err := e.settle(cmd); err != nil {
		return err
	}
	e.from = files
	file, err := createPage(e.to, e.force, cmd.OutOrStdout())
	if err != nil {
		return err
	}
	defer file.abandon()
	e.every = e.as == asPerfetto
	if e.as != asPerfetto {
		e.filter.Kinds = e.kinds()
	}
	out := newExportOutput(e, file)
	if e.as == asPerfetto { // which shows all that they did
		out.states, e.filter.States = e.filter.States, nil
	}
	cmd.SetOut(file) // of sinks that write lines
	summary, err := e.live.run(cmd, out.sink)
	if damage := new(recording.DamageError); err != nil && !errors.As(err, &damage) {
		return err
	}
	if failed := errors.Join(out.close(), file.commit()); failed != nil {
		return failed
	}
	if e.to != "-" {
		fmt.Fprintf(cmd.ErrOrStderr(), "tcptrace: wrote %s: %s\n", e.to, out.rows())
	}
	conclude(cmd.ErrOrStderr(), summary)
	return err
}

// kinds returns those of the records that are written.
func (e *exportCommand) kinds() []filter.Kind {
	switch {
	case !e.events:
		return []filter.Kind{filter.KindConnection}
	case len(e.filter.States) > 0:
		return []filter.Kind{filter.KindState}
	}
	return []filter.Kind{filter.KindState, filter.KindRetransmit, filter.KindReset, filter.KindDrop, filter.KindError}
}

// settle finds out the format, and refuses what cannot be.
func (e *exportCommand) settle(cmd *cobra.Command) error {
	if e.to == "" {
		return usagef(`where to? write for example --to conns.parquet, or --to - for standard output`)
	}
	if e.as == "" {
		if e.as = formatOf(e.to); e.as == "" {
			return usagef("%s does not say which format is meant; write --as %s", filepath.Base(e.to), strings.Join(exportFormats, ", or --as "))
		}
	}
	switch {
	case e.as == asPerfetto && e.events:
		return usagef("a trace has all events in it; leave out --events")
	case e.to == "-" && e.as == asParquet && isTerminal(cmd.OutOrStdout()):
		return usagef("Parquet is nothing for a terminal; name a file")
	}
	if e.as == asJSON {
		e.format = "json"
	}
	return nil
}

// formatOf returns the format that a file's name says, or "".
func formatOf(name string) string {
	switch name = strings.ToLower(name); {
	case strings.HasSuffix(name, ".parquet"):
		return asParquet
	case strings.HasSuffix(name, ".jsonl"), strings.HasSuffix(name, ".ndjson"):
		return asJSON
	case strings.HasSuffix(name, ".trace.json"), strings.HasSuffix(name, ".perfetto"), strings.HasSuffix(name, ".trace"):
		return asPerfetto
	}
	return ""
}

// An exportOutput is what the sinks of all recordings write to.
type exportOutput struct {
	command *exportCommand
	out     io.Writer
	table   *export.Parquet // of Parquet, one for all
	trace   *exportTrace    // of a trace
	states  []tcp.State     // of its connections
	lines   uint64          // of JSON
}

func newExportOutput(e *exportCommand, out io.Writer) *exportOutput {
	o := &exportOutput{command: e, out: out}
	switch {
	case e.as == asParquet && e.events:
		o.table = export.NewEvents(out, version())
	case e.as == asParquet:
		o.table = export.NewConnections(out, version())
	}
	return o
}

// sink is a newSink.
func (o *exportOutput) sink(out io.Writer, clock event.Clock) trace.Sink {
	host := o.command.playing.Info().Host
	switch o.command.as {
	case asParquet:
		return &exportTable{table: o.table, origin: export.Origin{Host: host, Clock: clock}}
	case asJSON:
		return &exportLines{jsonSink{lines: newLines(out), clock: clock, open: true}, o}
	}
	if o.trace != nil {
		return refusingSink{usagef("a trace is of one host; export each recording by itself")}
	}
	info := o.command.playing.Info()
	o.trace = &exportTrace{now: o.command.playing.Now, writer: perfetto.NewWriter(o.out, perfetto.Options{
		Clock: clock, Version: version(), Host: host, Kernel: info.Kernel, States: o.states,
	})}
	return o.trace
}

func (o *exportOutput) close() error {
	if o.table != nil {
		return o.table.Close()
	}
	return nil
}

func (o *exportOutput) rows() string {
	kind := "connections"
	if o.command.events {
		kind = "events"
	}
	switch {
	case o.table != nil:
		return fmt.Sprintf("%d %s", o.table.Rows(), kind)
	case o.trace != nil:
		return fmt.Sprintf("%d connections that ended", o.trace.ended)
	}
	return fmt.Sprintf("%d %s", o.lines, kind)
}

// An exportTable makes rows.
type exportTable struct {
	table  *export.Parquet
	origin export.Origin
	err    error
}

func (s *exportTable) Show(c *conn.Change) bool {
	if s.err != nil {
		return false
	}
	var added bool
	added, s.err = s.table.Add(c, s.origin)
	return added
}

func (s *exportTable) Flush() error { return s.err }

// An exportLines writes JSON lines, and counts them.
type exportLines struct {
	jsonSink
	of *exportOutput
}

func (s *exportLines) Show(c *conn.Change) bool {
	if c.Kind == conn.Ended == s.of.command.events && c.Kind != conn.Lost {
		return false
	}
	if !s.jsonSink.Show(c) || len(s.scratch) == 0 { // some changes are no records
		return false
	}
	s.of.lines++
	return true
}

// An exportTrace writes a trace.
type exportTrace struct {
	writer *perfetto.Writer
	now    func() event.Time
	ended  uint64
}

func (s *exportTrace) Show(c *conn.Change) bool {
	if c.Kind == conn.Ended && c.Conn.Closed != 0 && !c.Conn.Listener() {
		s.ended++
	}
	return s.writer.Show(c)
}

func (s *exportTrace) Flush() error  { return s.writer.Flush() }
func (s *exportTrace) finish() error { return s.writer.Close(s.now()) }

// A refusingSink takes nothing.
type refusingSink struct{ err error }

func (refusingSink) Show(*conn.Change) bool { return false }
func (s refusingSink) Flush() error         { return s.err }

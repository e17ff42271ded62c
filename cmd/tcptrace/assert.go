package main

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tcptrace/tcptrace/internal/assert"
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/record"
	"github.com/tcptrace/tcptrace/internal/render"
	"github.com/tcptrace/tcptrace/internal/sysctl"
	"github.com/tcptrace/tcptrace/internal/trace"
)

type assertCommand struct {
	live
	commandRun
	assertions []*assert.Assertion
}

func newAssert() *cobra.Command {
	a := &assertCommand{live: live{every: true, judges: true}}
	cmd := &cobra.Command{
		Use:   "assert ASSERTION... [flags] [-- COMMAND [ARG...]]",
		Short: "Run a command, and fail if its connections do not do as stated",
		Long: `Runs COMMAND, traces what it and its children do, and judges each ASSERTION at its
end. Without COMMAND it judges all connections, or those that the flags select,
until --duration is over, as a canary; or those of recordings, with --from.

  no WHAT                 there is none            'no resets'  'no close-wait-leak'
  WHAT OP NUMBER          that many                'connections >= 100'
  no TIME OP LENGTH       none takes so long       'no CLOSE_WAIT > 5s'
  TIME OP LENGTH          each takes so long       'handshake < 50ms'
  FIGURE TIME OP LENGTH   a figure of all          'p99 ESTABLISHED < 2s'

OP is = != < <= > or >=. Behind it may follow "by NAME", of a process, and "port N".
WHAT is also a state (connections that have been in it), retransmits_CLASS, and any
rule of "tcptrace why"; TIME is also a state. Case does not matter, nor "-" for "_".

` + string(render.AppendAssertionWords(nil)) + `
For each assertion a line says holds, fails, or unproven, and what was found; below
one that fails stand the connections that speak against it, the worst first.
Unproven is what nothing seen speaks against, where not all was seen: events were
lost, or a connection is older than the trace.

These lines are written to standard error, so that COMMAND's output stays as it is;
without COMMAND to standard output. With -o json they are records of type
"assertion", always on standard output, and COMMAND's output goes to standard error.

Exit status:
  0     all hold, where there is no COMMAND
  1     one does not hold, or is unproven; or tracing was not possible
  2     it was called wrongly; COMMAND has not run
  other COMMAND's own, if all hold: 128 and the signal's number if one killed it,
        126 if it cannot be run, 127 if it is not found

docs/assert.md has the details.`,
		Example: `  tcptrace assert 'no CLOSE_WAIT > 5s' 'resets = 0' -- go test ./...
  tcptrace assert 'p99 handshake < 50ms' 'no findings' -- ./load-test.sh
  tcptrace assert 'connections <= 10 port 5432' --linger 2s -- ./migrate
  tcptrace assert 'no CLOSE_WAIT > 30s' 'no resets_sent' --comm api --duration 5m
  tcptrace assert 'no findings' --from incident.ttr`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.run(cmd, args) },
	}
	own := newFlagSet()
	own.Var(period{to: &a.linger}, "linger", "trace this `TIME` longer than COMMAND runs, to see how its connections end")
	addFlags(cmd, a.groups(own)...)
	a.complete(cmd)
	return cmd
}

func (a *assertCommand) run(cmd *cobra.Command, args []string) error {
	statements, command := args, []string(nil)
	if at := cmd.ArgsLenAtDash(); at >= 0 {
		statements, command = args[:at], args[at:]
	}
	if err := a.parse(statements, command); err != nil {
		return err
	}
	for _, s := range a.assertions {
		a.probe.Errors = a.probe.Errors || s.NeedsCalls()
	}
	if len(command) == 0 {
		return a.watch(cmd)
	}
	return a.runCommand(cmd, command)
}

// parse reads the assertions, and says what is missing.
func (a *assertCommand) parse(statements, command []string) error {
	for _, text := range statements {
		s, err := assert.Parse(text)
		switch {
		case err == nil:
		case command == nil && len(a.assertions) > 0 && !strings.ContainsAny(text, " <>="):
			return usagef(`%v; if a command begins here, write "--" before it`, err)
		default:
			return usagef("%v", err)
		}
		a.assertions = append(a.assertions, s)
	}
	switch {
	case len(statements) == 0:
		return usagef(`nothing is asserted; write for example tcptrace assert 'no resets' -- COMMAND`)
	case command != nil && len(command) == 0:
		return usagef(`"--" needs a command behind it`)
	case len(command) > 0 && len(a.from) > 0:
		return usagef("--from reads a recording; leave out the command, or --from")
	case len(command) > 0 && a.save != "":
		return usagef("--record is for a trace without a command; run \"tcptrace record %s\" beside it", a.save)
	case len(command) == 0 && a.linger > 0:
		return usagef("--linger is for a command; write --duration %v", a.linger)
	}
	return nil
}

// watch judges what the flags select, for as long as they say, or what was
// recorded. The connections of several recordings are judged together.
func (a *assertCommand) watch(cmd *cobra.Command) error {
	settings, err := sysctl.NewReader(diagnose.Sysctls())
	if err == nil {
		defer settings.Close()
	}
	verdict := &assertVerdict{judge: assert.NewJudge(a.assertions)}
	summary, err := a.live.run(cmd, func(_ io.Writer, clock event.Clock) trace.Sink {
		options := diagnose.Options{}
		switch {
		case a.playing != nil:
			options = diagnose.Options{Settings: a.playing, Processes: a.playing}
		case a.capture != nil: // which keeps what it answers
			options = diagnose.Options{Settings: a.capture.survey, Processes: a.capture.survey}
		case settings != nil:
			options.Settings = settings
		}
		return verdict.sink(a.assertions, options, clock, a.now)
	})
	if err != nil {
		return err
	}
	conclude(cmd.ErrOrStderr(), summary)
	return errors.Join(a.audited(cmd), a.write(cmd.OutOrStdout(), verdict))
}

// write writes the verdicts, and returns an error where one is not that its
// assertion holds.
func (a *assertCommand) write(out io.Writer, v *assertVerdict) error {
	verdicts := v.all()
	var b []byte
	if a.format == "json" {
		last := v.last()
		for i := range verdicts {
			b = record.AppendVerdict(b, &verdicts[i], last.end, last.clock)
		}
	} else {
		options := render.Options{Color: a.colored(out)}
		b = options.AppendVerdicts(b, verdicts)
	}
	// Who reads no more wants the verdict all the same.
	if _, err := out.Write(b); err != nil && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	for i := range verdicts {
		if verdicts[i].Outcome != assert.Holds {
			return &statusError{status: exitFailed}
		}
	}
	return nil
}

// An assertVerdict is what all sinks find together. They take turns.
type assertVerdict struct {
	judge *assert.Judge
	sinks []*assertSink
}

// sink returns a sink of one host.
func (v *assertVerdict) sink(all []*assert.Assertion, options diagnose.Options, clock event.Clock, now func() event.Time) *assertSink {
	s := &assertSink{judge: v.judge, clock: clock, now: now}
	for _, a := range all {
		if a.NeedsFindings() && s.engine == nil {
			s.engine = diagnose.New(options)
		}
	}
	v.sinks = append(v.sinks, s)
	return s
}

// all judges what the sinks were shown.
func (v *assertVerdict) all() []assert.Verdict {
	var findings []diagnose.Finding
	for _, s := range v.sinks {
		findings = append(findings, s.findings()...)
	}
	v.judge.Findings(findings)
	return v.judge.Verdicts()
}

// last returns the sink whose end is the latest.
func (v *assertVerdict) last() *assertSink {
	return slices.MaxFunc(v.sinks, func(a, b *assertSink) int { return a.clock.Wall(a.end).Compare(b.clock.Wall(b.end)) })
}

// An assertSink judges the connections of some processes, or of all.
type assertSink struct {
	judge   *assert.Judge
	engine  *diagnose.Engine // nil: no assertion speaks of findings
	clock   event.Clock
	now     func() event.Time
	belongs func(*event.Task) bool // nil: all do
	end     event.Time
}

// Show makes no records: the verdicts come at the end.
func (s *assertSink) Show(c *conn.Change) bool {
	s.end = max(s.end, c.Time)
	if s.engine != nil {
		s.engine.Handle(c) // of others too: the other end may be theirs
	}
	if c.Kind == conn.Lost || s.ours(c) {
		s.judge.Handle(c)
	}
	return false
}

func (s *assertSink) ours(c *conn.Change) bool {
	switch {
	case s.belongs == nil:
		return true
	case c.Conn != nil:
		return s.belongs(&c.Conn.Owner.Task) || s.belongs(&c.Conn.Closer.Task)
	case c.Kind == conn.Failed:
		return s.belongs(&c.Event.Task)
	}
	return false
}

// Flush lets time pass, which makes findings too.
func (s *assertSink) Flush() error {
	if s.engine != nil {
		s.engine.Advance(s.now().Add(-handedOver))
	}
	return nil
}

// findings returns those of the processes that are judged.
func (s *assertSink) findings() (ours []diagnose.Finding) {
	if s.engine == nil {
		return nil
	}
	s.engine.Advance(s.end)
	for _, f := range s.engine.Findings() {
		if s.belongs == nil || s.belongs(&f.Process.Task) {
			ours = append(ours, f)
		}
	}
	return ours
}

// A statusError ends the program with a status of its own. If err is nil, all is
// said.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string {
	if e.err == nil {
		return "exit status " + strconv.Itoa(e.status)
	}
	return e.err.Error()
}

func (e *statusError) Unwrap() error { return e.err }

package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// heldBefore is how much of the time before a finding --since-finding keeps.
const heldBefore = time.Minute

type recordCommand struct {
	live
	rotate       bytesFlag
	keep         uint64
	sinceFinding bool
	noCalls      bool
}

func newRecord() *cobra.Command {
	r := &recordCommand{}
	cmd := &cobra.Command{
		Use:   "record [flags] FILE",
		Short: "Save what is seen, to be read by every other command, anywhere",
		Long: `Writes what the kernel tells to FILE, as it comes. Every other command then reads it
with --from FILE: on any system, without privileges, as often as you like, and with the
output that it would have had live.

In it are all events of the connections selected; the processes, containers, network
namespaces, their names and sysctls; every socket that there is as it begins; what was
lost; the host's name, kernel and clock. No payload: tcptrace sees none. Command lines
are in it with --cmdline alone.

What is seen is written every second, so that of a recording that is killed a second is
missing, and the rest is good. FILE is made for its owner alone (mode 0600), must not
exist (--force replaces it), and no link is followed; - is standard output. When a disk
is full the recording ends, and what was written is good.

With --rotate, FILE is the newest part, FILE.1 the one before, and so on; each can be
read alone, and several together: --from FILE.1 --from FILE.

With --since-finding, nothing is written before "tcptrace why" would tell a finding that
is a warning or worse; then FILE begins a minute before that.

docs/recording.md says what is in a recording and how.`,
		Example: `  tcptrace record incident.ttr              until Ctrl-C
  tcptrace record --duration 10m --port 5432 db.ttr
  tcptrace record --rotate 100MB --keep 10 ring.ttr
  tcptrace record --since-finding next.ttr
  ssh host sudo tcptrace record --duration 1m - > host.ttr
  tcptrace why --from incident.ttr`,
		Args: oneFile("incident.ttr"),
		RunE: func(cmd *cobra.Command, args []string) error { return r.run(cmd, args[0]) },
	}
	which := selectionFlags(&r.filter)
	which.VisitAll(func(f *pflag.Flag) {
		if f.Name == "comm" {
			f.Hidden = true // known too late to leave events out: see checkSelection
		}
	})
	out := newFlagSet()
	r.durationFlag(out)
	out.Var(&r.rotate, "rotate", "begin another file when one has grown to this `SIZE`, such as 100MB")
	out.Var(number{&r.keep}, "keep", "with --rotate, keep the `N` newest files (default: all)")
	out.BoolVar(&r.sinceFinding, "since-finding", false, "write nothing before a finding; then the minute before it, and what follows")
	out.BoolVar(&r.saving.Force, "force", false, "replace FILE if it exists")
	cmdlineFlag(out, &r.cmdline)
	advanced := r.advanced()
	advanced.BoolVar(&r.noCalls, "no-failed-calls", false,
		"do not watch accept() and connect() fail: that costs every system call of the host some 50 ns;"+
			" without it fd-exhaustion is not found")
	addFlags(cmd,
		flagGroup{"Which connections (a list is comma-separated: any of it; different flags: all of them)", which},
		flagGroup{"What is written", out}, flagGroup{"Advanced", advanced})
	return cmd
}

// oneFile accepts the name of one file.
func oneFile(example string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return usagef("which file? write %s %s", cmd.CommandPath(), example)
		case len(args) > 1:
			return usagef("unexpected argument %q; %q takes one file", args[1], cmd.CommandPath())
		case args[0] == "":
			return usagef("the file has no name; write %s %s", cmd.CommandPath(), example)
		}
		return nil
	}
}

func (r *recordCommand) run(cmd *cobra.Command, path string) error {
	if err := r.check(cmd, path); err != nil {
		return err
	}
	r.save = path
	r.saving.Rotate, r.saving.Keep = r.rotate.n, int(min(r.keep, 1<<30))
	r.probe.Errors = !r.noCalls
	r.progress = newProgress(cmd.ErrOrStderr())
	var build newSink
	if r.sinceFinding {
		r.saving.Hold, r.every = heldBefore, true
		build = func(io.Writer, event.Clock) trace.Sink {
			engine := diagnose.New(diagnose.Options{Settings: r.capture.survey, Processes: r.capture.survey})
			return &findingSink{engine: engine, now: r.now, found: func(f *diagnose.Finding) error { return r.release(cmd, f) }}
		}
	}
	summary, err := r.live.run(cmd, build)
	if err != nil {
		return err
	}
	stderr := cmd.ErrOrStderr()
	switch {
	case !r.capture.recorder.Released():
		fmt.Fprintf(stderr, "tcptrace: nothing was written: there was no finding in %v\n", r.capture.at.Sub(r.capture.began).Round(time.Second))
	default:
		fmt.Fprintf(stderr, "tcptrace: recorded to %s: %s\n", path, r.capture.figures())
	}
	summary.Lost = r.capture.lost
	conclude(stderr, summary)
	return nil
}

func (r *recordCommand) check(cmd *cobra.Command, path string) error {
	switch {
	case len(r.filter.Comms) > 0:
		return usagef("--comm selects when a recording is read: record all, and write --from %s --comm %s", path, r.filter.Comms[0])
	case r.keep > 0 && r.rotate.n == 0:
		return usagef("--keep says how many files --rotate leaves; write --rotate 100MB --keep %d", r.keep)
	case r.rotate.n > 0 && path == "-":
		return usagef("standard output cannot be rotated; name a file")
	case path == "-" && isTerminal(cmd.OutOrStdout()):
		return usagef("a recording is nothing for a terminal; name a file, or write \"| ...\" behind")
	}
	return nil
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// release begins the file, because of a finding.
func (r *recordCommand) release(cmd *cobra.Command, f *diagnose.Finding) error {
	if r.capture.recorder.Released() {
		return nil
	}
	if r.capture.progress != nil {
		r.capture.progress.clear()
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "tcptrace: %s: writing %s from %v before\n", f.Rule.Name, r.save, r.capture.recorder.Held().Round(time.Second))
	return r.capture.recorder.Release(f.Rule.Name)
}

// A findingSink calls found with each finding that somebody should act on.
type findingSink struct {
	engine *diagnose.Engine
	now    func() event.Time
	found  func(*diagnose.Finding) error
}

func (s *findingSink) Show(c *conn.Change) bool {
	s.engine.Handle(c)
	return false
}

func (s *findingSink) Flush() error {
	s.engine.Advance(s.now().Add(-handedOver))
	for _, f := range s.engine.Fresh() {
		if f.Severity >= diagnose.Warning && !f.Withdrawn {
			if err := s.found(&f); err != nil {
				return err
			}
		}
	}
	return nil
}

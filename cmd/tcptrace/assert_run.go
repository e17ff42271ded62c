package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tcptrace/tcptrace/internal/assert"
	"github.com/tcptrace/tcptrace/internal/child"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/render"
	"github.com/tcptrace/tcptrace/internal/sysctl"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// A commandRun is a command that runs while it is traced.
type commandRun struct {
	linger time.Duration
	child  *child.Command
	status int
	err    error // of running it
}

// runCommand traces a command from its first instruction to its end, judges its
// connections, and returns its status.
func (a *assertCommand) runCommand(cmd *cobra.Command, command []string) (err error) {
	if a.audit {
		return usagef("--audit compares whole network namespaces; leave it out, or the command")
	}
	files := child.Files{Stdin: cmd.InOrStdin(), Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr()}
	verdictsTo := files.Stderr
	if a.format == "json" {
		files.Stdout, verdictsTo = files.Stderr, files.Stdout
	}
	if a.child, err = child.Prepare(command, files); err != nil {
		return commandError(err)
	}
	defer func() { err = errors.Join(err, a.child.Close()) }()
	if why := a.child.Loose(); why != nil {
		fmt.Fprintf(files.Stderr, "tcptrace: the command has no cgroup of its own (%v): "+
			"its children are found by /proc, and one that lives for less than %v may be missed\n", why, a.pollTime())
	}
	settings, unread := sysctl.NewReader(diagnose.Sysctls())
	if unread == nil {
		defer settings.Close()
	}
	verdict, summary, err := a.traceCommand(files.Stderr, command[0], settings)
	if err != nil {
		return err
	}
	if a.err != nil {
		return commandError(a.err)
	}
	conclude(files.Stderr, summary)
	if err := a.write(verdictsTo, verdict); err != nil || a.status == 0 {
		return err
	}
	return &statusError{status: a.status}
}

func (a *assertCommand) pollTime() time.Duration {
	if a.probe.Poll == 0 {
		return 50 * time.Millisecond
	}
	return a.probe.Poll
}

// traceCommand runs the command under the tracer until both have ended.
func (a *assertCommand) traceCommand(stderr io.Writer, command string, settings *sysctl.Reader) (*assertVerdict, trace.Summary, error) {
	labels, err := newLabeler(a.cmdline)
	if err != nil {
		return nil, trace.Summary{}, err
	}
	defer labels.Close()
	// What tcptrace does to SIGPIPE the command shall not inherit: a signal
	// that is caught is not ignored after exec.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	defer signal.Stop(pipe)

	ctx, ended := context.WithCancel(context.Background())
	defer ended()
	var source *probe.Source
	a.probe.Filter = a.filter
	t := trace.New(trace.Options{
		Filter: a.filter, Now: monotonic, Every: true,
		Ready: func() {
			fmt.Fprintf(stderr, "tracing %s and its children\n", render.Safe(filepath.Base(command)))
			go a.runUntil(ended)
		},
	})
	a.probe.OnBatch = t.Batch
	if source, err = probe.Open(a.probe); err != nil {
		return nil, trace.Summary{}, &unableError{err}
	}
	verdict := &assertVerdict{judge: assert.NewJudge(a.assertions)}
	options := diagnose.Options{}
	if settings != nil {
		options.Settings = settings
	}
	sink := verdict.sink(a.assertions, options, source.Clock(), monotonic)
	sink.belongs = func(task *event.Task) bool { return task.Known() && a.child.Belongs(task, sink.end) }
	summary, err := t.Run(ctx, labelled(source, a.label(labels)), sink)
	return verdict, summary, errors.Join(err, source.Close())
}

// label also lets the command look at each process while it lives.
func (a *assertCommand) label(labels *labeler) func(*event.Task, event.Time) *event.Label {
	loose := a.child.Loose() != nil
	return func(t *event.Task, at event.Time) *event.Label {
		if loose {
			a.child.Belongs(t, at)
		}
		return labels.label(t, at)
	}
}

// runUntil runs the command, hands on signals, and calls ended when all of it is
// over.
func (a *assertCommand) runUntil(ended func()) {
	defer ended()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if a.err = a.child.Start(); a.err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		a.status, a.err = a.child.Wait()
		close(done)
	}()
	var timeout <-chan time.Time
	if a.duration > 0 {
		timeout = time.After(a.duration)
	}
	// A terminal sends Ctrl-C to the command, too.
	interactive := term.IsTerminal(int(os.Stdin.Fd()))
	for running := true; running; {
		select {
		case s := <-signals:
			if s != os.Interrupt || !interactive {
				a.child.Signal(s)
			}
		case <-timeout:
			a.child.Signal(syscall.SIGTERM)
		case <-done:
			running = false
		}
	}
	select {
	case <-time.After(a.linger):
	case <-signals:
	}
}

// commandError says why a command could not be run, and ends with the status
// that shells use for that.
func commandError(err error) error {
	if exit := (*child.ExitError)(nil); errors.As(err, &exit) {
		return &statusError{exit.Status, err}
	}
	return err
}

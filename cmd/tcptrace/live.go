package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tcptrace/tcptrace/internal/audit"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// live holds what every command that traces the running kernel takes.
type live struct {
	output
	filter   filter.Filter
	duration time.Duration
	count    uint64
	probe    probe.Options
	cmdline  bool
	every    bool // see trace.Options
	audit    bool // see auditFlag
	meter    *audit.Meter
	clock    event.Clock // of the source
}

var hookNames = []string{probe.HooksFentry, probe.HooksTimers}

// groups returns the flags, those of the command itself behind the output's.
func (l *live) groups(own *pflag.FlagSet) []flagGroup {
	out := newFlagSet()
	l.durationFlag(out)
	out.Var(number{&l.count}, "count", "stop after `N` records")
	cmdlineFlag(out, &l.cmdline)
	out.AddFlagSet(l.flags())
	out.AddFlagSet(own)
	l.auditFlag(out)
	which := selectionFlags(&l.filter)
	labelFlags(which, &l.filter)
	return []flagGroup{
		{"Which connections (a list is comma-separated: any of it; different flags: all of them)", which},
		{"What is printed", out},
		{"Advanced", l.advanced()},
	}
}

func (l *live) durationFlag(fs *pflag.FlagSet) {
	fs.Var(period{to: &l.duration}, "duration", "stop after this `TIME`, such as 30s or 5m (else Ctrl-C ends it)")
}

// advanced returns the flags that say how to trace.
func (l *live) advanced() *pflag.FlagSet {
	advanced := newFlagSet()
	advanced.BoolVar(&l.probe.ExactAccept, "exact-accept", false,
		"see accept() itself, so who accepts and when, also where the kernel has no BPF trampolines;"+
			" there this costs every system call of the host some 50 ns")
	advanced.BoolVar(&l.probe.NoSweep, "no-sweep", false,
		"do not read the kernel's tables of sockets, which is done at the start, every minute and after"+
			" a loss; sockets older than the trace are then known only by what happens to them")
	advanced.Var(word{&l.probe.Hooks, hookNames}, "hooks",
		"`HOW` to see SYN_RECV and TIME_WAIT: "+strings.Join(hookNames, " or ")+" (default: the best that this kernel has)")
	advanced.Var(size{&l.probe.RingBytes}, "ring-size", "`SIZE` of the buffer between kernel and tcptrace (default 8MiB); raise it if events are lost")
	advanced.Var(period{to: &l.probe.Poll, min: time.Millisecond, max: 10 * time.Second}, "poll", "`TIME` between two readings of that buffer (default 50ms)")
	return advanced
}

// run traces until the user, the duration, the count or the reader of our
// output ends it.
func (l *live) run(cmd *cobra.Command, newSink func(out io.Writer, clock event.Clock) trace.Sink) (trace.Summary, error) {
	if err := l.checkAudit(); err != nil {
		return trace.Summary{}, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	ctx, broken := watchReader(ctx, cmd.OutOrStdout())
	defer broken(nil)

	labels, unlabeled := newLabeler(l.cmdline)
	if unlabeled == nil {
		defer labels.Close()
	}
	l.probe.Filter = l.filter
	var source *probe.Source
	t := trace.New(trace.Options{
		Filter: l.filter, Duration: l.duration, Count: l.count, Now: monotonic, Label: labels.label, Every: l.every,
		Sparse: l.probe.FiltersProcesses(),
		Ready:  func() { l.ready(cmd.ErrOrStderr(), source.Capabilities()) },
	})
	l.probe.OnBatch = t.Batch
	source, err := probe.Open(l.probe)
	if err != nil {
		return trace.Summary{}, &unableError{err}
	}
	if unlabeled != nil {
		return trace.Summary{}, errors.Join(unlabeled, source.Close())
	}
	metered, err := l.metered(source)
	if err != nil {
		return trace.Summary{}, errors.Join(err, source.Close())
	}
	summary, err := t.Run(ctx, metered, newSink(cmd.OutOrStdout(), source.Clock()))
	err = errors.Join(err, source.Close())
	if err == nil && errors.Is(context.Cause(ctx), errNoReader) {
		err = errNoReader
	}
	return summary, err
}

// errNoReader ends a trace whose output nobody reads any more, as that of
// "tcptrace watch | head -3" after three lines.
var errNoReader = fmt.Errorf("standard output: %w", syscall.EPIPE)

// ready tells scripts and people that nothing is missed from now on, and what
// this kernel does not show.
func (l *live) ready(stderr io.Writer, capabilities []probe.Capability) {
	until := "Ctrl-C to end"
	if l.duration > 0 {
		until = "for " + l.duration.String()
	}
	fmt.Fprintf(stderr, "tracing TCP connections; %s\n", until)
	for _, c := range capabilities {
		if c.Grade == probe.Absent {
			fmt.Fprintf(stderr, "tcptrace: not seen on this host: %s; \"tcptrace doctor\" says why\n", c.Name)
		}
	}
}

// conclude says what the records do not show.
func conclude(stderr io.Writer, s trace.Summary) {
	if s.Lost > 0 {
		fmt.Fprintf(stderr, "tcptrace: %d events were lost, the kernel side had no room for them; a larger --ring-size helps\n", s.Lost)
	}
	if s.Untold > 0 && s.Lost == 0 {
		fmt.Fprintf(stderr, "tcptrace: %d transitions are missing though no event was lost: this kernel did not run our programs then\n", s.Untold)
	}
	if s.Dropped > 0 {
		fmt.Fprintf(stderr, "tcptrace: %d connections were not followed to their end: too many at once\n", s.Dropped)
	}
	if s.Unjudged > 0 {
		fmt.Fprintf(stderr, "tcptrace: %d connections left out: too little became known of them to tell whether they are asked for\n", s.Unjudged)
	}
	if s.Overflown > 0 {
		fmt.Fprintf(stderr, "tcptrace: %d records left out: too many waited for their process to become known\n", s.Overflown)
	}
}

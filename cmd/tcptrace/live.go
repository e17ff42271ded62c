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
	"github.com/tcptrace/tcptrace/internal/census"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/recording"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// live holds what every command takes that traces the running kernel, or reads
// recordings of it.
type live struct {
	output
	filter   filter.Filter
	duration time.Duration
	count    uint64
	probe    probe.Options
	cmdline  bool
	every    bool     // see trace.Options
	judges   bool     // the exit status tells, too: goes on where nobody reads
	prompt   bool     // somebody waits for what is read, by a key
	from     []string // recordings to read instead
	save     string   // a recording to make as well
	saving   recording.FileOptions
	progress *progress    // of the recording; nil: none is shown
	audit    bool         // see auditFlag
	reader   *audit.Meter // whose readings are recorded; nil: none are
	capture  *capture     // nil: nothing is recorded
	label    census.Labeler

	// What a sink may keep as it is made: the time of what it is shown, which
	// is the only clock that it may ask, and what it is shown from, nil where
	// that is the kernel.
	now     func() event.Time
	playing *recording.Recording

	meterings []metering   // of the audits
	flush     func() error // what is held back of their output; nil: nothing

	joins  bool    // several recordings are joined before they are read
	joined *joined // nil: they are not
}

// A newSink makes the sink that a command writes to. Where several recordings
// are read there is one for each, and out says of which its lines are.
type newSink func(out io.Writer, clock event.Clock) trace.Sink

// A finisher is a sink that has something to write when its source is at its
// end, or has failed.
type finisher interface{ finish() error }

var hookNames = []string{probe.HooksFentry, probe.HooksTimers}

// groups returns the flags, those of the command itself behind the output's.
func (l *live) groups(own *pflag.FlagSet) []flagGroup {
	out := newFlagSet()
	fromFlag(out, &l.from)
	out.StringVar(&l.save, "record", "", "also save what is seen to this `FILE`, for --from; see \"tcptrace record --help\"")
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
	hooksFlag(advanced, &l.probe)
	btfFlag(advanced, &l.probe)
	advanced.Var(size{&l.probe.RingBytes}, "ring-size", "`SIZE` of the buffer between kernel and tcptrace (default 8MiB); raise it if events are lost")
	advanced.Var(quantity{&l.probe.Rings}, "rings", "divide that buffer into `N`, each for a group of processors, at most one each (default: 1, or more where there are more than 32 processors)")
	advanced.Var(period{to: &l.probe.Poll, min: time.Millisecond, max: 10 * time.Second}, "poll", "`TIME` between two readings of that buffer (default 200ms; for watch's screen 100ms, for assert 50ms)")
	return advanced
}

func hooksFlag(fs *pflag.FlagSet, opts *probe.Options) {
	fs.Var(word{&opts.Hooks, hookNames}, "hooks",
		"`HOW` to see SYN_RECV and TIME_WAIT: "+strings.Join(hookNames, " or ")+" (default: the best that this kernel has)")
}

func btfFlag(fs *pflag.FlagSet, opts *probe.Options) {
	fs.StringVar(&opts.BTF, "btf", "",
		"`FILE` with the types of the running kernel, for one that has none of its own (CONFIG_DEBUG_INFO_BTF);"+
			" they are held against a socket first")
}

// run traces until the user, the duration, the count or the reader of our
// output ends it, or reads recordings to their end. With a nil build it does
// nothing but record.
func (l *live) run(cmd *cobra.Command, build newSink) (trace.Summary, error) {
	if err := l.checkAudit(); err != nil {
		return trace.Summary{}, err
	}
	if len(l.from) > 0 {
		return l.replay(cmd, build)
	}
	ctx, stop := interruptible(l.readers(cmd))
	defer stop()
	labels, unlabeled := newLabeler(l.cmdline)
	if unlabeled == nil {
		defer labels.Close()
	}
	l.probe.Filter = l.filter
	if l.prompt {
		calm(&l.probe, pollPicture)
	} else {
		rest(&l.probe)
	}
	if l.save != "" {
		var err error
		if l.capture, err = newCapture(l.save, l.saving); err != nil {
			return trace.Summary{}, err
		}
		l.capture.progress = l.progress
		ctx, l.capture.cancel = context.WithCancel(ctx)
		defer l.capture.cancel()
	}
	summary, err := l.trace(ctx, cmd, build, labels, unlabeled)
	if err == nil && errors.Is(context.Cause(ctx), errNoReader) {
		err = errNoReader
	}
	return summary, err
}

// pollCalm is how long the source is left alone: as long as nobody notices.
const pollCalm = 200 * time.Millisecond

// pollPicture is how often it is read for a picture, which is made twice a second,
// and on a key.
const pollPicture = 100 * time.Millisecond

// calm has the ring read so often, unless the user has said how often.
func calm(o *probe.Options, every time.Duration) {
	if o.Poll == 0 {
		o.Poll = every
	}
}

// rest has the ring read as seldom as nobody notices, likewise. It is read before that
// where it fills.
func rest(o *probe.Options) {
	if o.Poll == 0 {
		o.PollCalm = pollCalm
	}
}

// readers returns the output without whose readers there is no need to go on.
func (l *live) readers(cmd *cobra.Command) io.Writer {
	if l.judges {
		return io.Discard
	}
	return cmd.OutOrStdout()
}

// interruptible returns a context that ends when the user wants that, or nobody
// reads our output any more.
func interruptible(out io.Writer) (ctx context.Context, stop func()) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // by nohup
		signals = append(signals, syscall.SIGHUP) // the terminal is gone: what is recorded is to be whole
	}
	ctx, end := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, end) // a second Ctrl-C ends it at once
	ctx, broken := watchReader(ctx, out)
	return ctx, func() {
		broken(nil)
		end()
	}
}

func (l *live) trace(ctx context.Context, cmd *cobra.Command, build newSink, labels *labeler, unlabeled error) (trace.Summary, error) {
	var source *probe.Source
	var latched event.Time // of the batch under way
	l.now = func() event.Time { return latched }
	var t tracer = &bare{duration: l.duration, ready: func() { l.ready(cmd.ErrOrStderr(), source.Capabilities()) }}
	if build != nil {
		t = trace.New(trace.Options{
			Filter: l.filter, Duration: l.duration, Count: l.count, Now: l.now, Every: l.every,
			Sparse: l.probe.FiltersProcesses(),
			Ready:  func() { l.ready(cmd.ErrOrStderr(), source.Capabilities()) },
		})
	}
	l.probe.OnBatch = func() {
		// A recording holds this time too, and whole milliseconds are short there.
		latched = monotonic() / event.Time(time.Millisecond) * event.Time(time.Millisecond)
		t.Batch()
		if l.capture != nil {
			l.capture.tick(latched)
		}
	}
	source, err := probe.Open(l.probe)
	if err != nil {
		err = &unableError{err}
	} else if unlabeled != nil {
		err = errors.Join(unlabeled, source.Close())
	}
	if err != nil {
		if l.capture != nil {
			l.capture.abandon()
		}
		return trace.Summary{}, err
	}
	summary, err := l.traceFrom(ctx, cmd, build, t, source, labels)
	if l.capture != nil {
		err = errors.Join(err, l.capture.end())
	}
	return summary, errors.Join(err, source.Close())
}

// An attacher is a sink that asks what traces, before anything is read.
type attacher interface {
	attach(*trace.Trace, *probe.Source)
}

// A tracer runs a source into a sink: a trace.Trace, or what only records.
type tracer interface {
	Run(ctx context.Context, source trace.Source, sink trace.Sink) (trace.Summary, error)
	Batch()
}

// traceFrom traces from a source that is open.
func (l *live) traceFrom(ctx context.Context, cmd *cobra.Command, build newSink, t tracer, source *probe.Source, labels *labeler) (trace.Summary, error) {
	l.label = labels.label
	from, err := l.metered(source, cmd)
	if err != nil {
		return trace.Summary{}, err
	}
	from = labelled(from, labels.label)
	if l.capture == nil {
		from = tapped{from, func(ev *event.Event, handle event.Handler) {
			if l.capture != nil { // the user has begun one since
				l.capture.take(ev, handle)
				return
			}
			handle(ev)
		}}
	} else {
		if err := l.capture.begin(ctx, l, source, labels.label, cmd.ErrOrStderr()); err != nil {
			return trace.Summary{}, err
		}
		l.capture.counters(l.reader)
		from = l.capture.tap(from)
	}
	if build == nil {
		return t.Run(ctx, from, nil)
	}
	sink := build(cmd.OutOrStdout(), source.Clock())
	if a, ok := sink.(attacher); ok {
		a.attach(t.(*trace.Trace), source)
	}
	summary, err := t.Run(ctx, from, sink)
	return summary, errors.Join(err, finish(sink))
}

// finish has a sink write what it writes at the end.
func finish(sink trace.Sink) error {
	if f, ok := sink.(finisher); ok {
		return f.finish()
	}
	return nil
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
	for _, said := range []struct {
		grade probe.Grade
		what  string
	}{{probe.Absent, "not seen on this host"}, {probe.Bounded, "less is known on this host of"}} {
		if names := lacking(capabilities, said.grade); len(names) > 0 {
			fmt.Fprintf(stderr, "tcptrace: %s: %s; \"tcptrace doctor\" says why\n", said.what, strings.Join(names, ", "))
		}
	}
}

// lacking names the capabilities of the grade, but for those that the user has
// left out.
func lacking(capabilities []probe.Capability, grade probe.Grade) (names []string) {
	for i := range capabilities {
		if c := &capabilities[i]; c.Grade == grade && !c.LeftOut() {
			names = append(names, c.Name)
		}
	}
	return names
}

// conclude says what the records do not show.
func conclude(stderr io.Writer, s trace.Summary) {
	if s.Lost > 0 {
		fmt.Fprintf(stderr, "tcptrace: %d events were lost, the kernel side had no room for them (a larger --ring-size helps), or the kernel skipped our program\n", s.Lost)
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

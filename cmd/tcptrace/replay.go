package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/recording"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// fromFlag is "--from" of every command that can read recordings.
func fromFlag(fs *pflag.FlagSet, to *[]string) {
	fs.StringArrayVar(to, "from", nil, "read this recording instead of the kernel, without any privilege: a `FILE` of"+
		" \"tcptrace record\", - for standard input; again for those of other hosts, or that it was rotated into")
}

// liveOnly are the flags that make no sense beside --from, and why.
var liveOnly = []struct{ flag, why string }{
	{"record", "records the running kernel"},
	{"cmdline", "asks the running processes: give it to \"tcptrace record\""},
	{"exact-accept", "says how to trace"},
	{"no-failed-calls", "says how to trace"},
	{"no-sweep", "says how to trace"},
	{"hooks", "says how to trace"},
	{"ring-size", "says how to trace"},
	{"rings", "says how to trace"},
	{"poll", "says how to trace"},
	{"btf", "says how to trace"},
	{"stacks", "looks at the running processes"},
}

// checkFrom refuses flags that --from has no use for.
func checkFrom(cmd *cobra.Command) error {
	for _, f := range liveOnly {
		if cmd.Flags().Changed(f.flag) {
			return usagef("--%s %s; leave it out beside --from", f.flag, f.why)
		}
	}
	return nil
}

// replay runs recordings instead of the kernel. Each has a trace and a sink of
// its own; they go in step with the wall clock.
func (l *live) replay(cmd *cobra.Command, build newSink) (trace.Summary, error) {
	if err := checkFrom(cmd); err != nil {
		return trace.Summary{}, err
	}
	if err := l.joinHosts(cmd.ErrOrStderr()); err != nil {
		return trace.Summary{}, err
	}
	set, err := recording.Open(l.from...)
	if err != nil {
		return trace.Summary{}, err
	}
	defer set.Close()
	ctx, stop := interruptible(l.readers(cmd))
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	hosts := newHosts(cmd.OutOrStdout(), l.format == "json", set.Recordings)
	l.flush = hosts.out.Flush
	players := l.players(set, hosts, build, cancel)
	var running sync.WaitGroup
	for _, p := range players {
		if len(players) == 1 {
			p.run(ctx)
			continue
		}
		running.Go(func() { p.run(ctx) })
	}
	running.Wait()
	errs := []error{hosts.out.Flush()}
	var total trace.Summary
	for _, p := range players {
		add(&total, p.summary)
		errs = append(errs, p.err)
		p.conclude(cmd.ErrOrStderr())
	}
	if err = errors.Join(errs...); err == nil && errors.Is(context.Cause(ctx), errNoReader) {
		err = errNoReader
	}
	return total, err
}

// A player runs one recording.
type player struct {
	recording *recording.Recording
	source    trace.Source // which it is, or hands over what it does
	trace     *trace.Trace
	sink      trace.Sink
	summary   trace.Summary
	err       error
}

func (l *live) players(set *recording.Set, hosts *hosts, build newSink, cancel context.CancelFunc) (all []*player) {
	var limit *limit
	if len(set.Recordings) > 1 {
		limit = newLimit(l.count, cancel)
	}
	for _, r := range set.Recordings {
		options := trace.Options{Filter: within(l.filter, r.Info().Filter), Count: l.count, Now: r.Now, Every: l.every, Sparse: r.Info().Sparse}
		if limit != nil {
			options.Count = 0
		}
		p := &player{recording: r, trace: trace.New(options)}
		r.OnBatch, r.Duration = p.trace.Batch, l.duration
		l.now, l.playing = r.Now, r
		out := hosts.writer(r)
		p.source = l.meteredReplay(r, out)
		p.sink = build(out, r.Clock())
		if limit != nil {
			p.sink = limited{p.sink, limit}
		}
		all = append(all, p)
	}
	return all
}

func (p *player) run(ctx context.Context) {
	defer p.recording.Done()
	p.summary, p.err = p.trace.Run(ctx, p.source, p.sink)
	p.err = errors.Join(p.err, finish(p.sink))
	if damage := new(recording.DamageError); errors.As(p.err, &damage) {
		p.err = fmt.Errorf("%w; %s", p.err, goodUntil(p.recording))
	}
}

func goodUntil(r *recording.Recording) string {
	if r.Good() == 0 {
		return "nothing of it can be read"
	}
	return "what is shown is all there is until " + wallClock(r)
}

func wallClock(r *recording.Recording) string {
	clock := r.Clock()
	return clock.Wall(r.Good()).In(time.Local).Format("2006-01-02 15:04:05")
}

// conclude says what a recording does not show.
func (p *player) conclude(stderr io.Writer) {
	if p.err == nil && !p.recording.Stopped() && !p.recording.Ended() && p.recording.Good() != 0 {
		fmt.Fprintf(stderr, "tcptrace: the recording of %s ends at %s without being finished: who recorded was killed, or still records\n",
			hostName(p.recording), wallClock(p.recording))
	}
	if n := p.recording.Unknown(); n > 0 {
		fmt.Fprintf(stderr, "tcptrace: %d entries left out: a newer tcptrace recorded them\n", n)
	}
}

// within is a user's selection from a recording that holds only what another
// one selected: what the user leaves open, that one says.
func within(user, recorded filter.Filter) filter.Filter {
	f := user
	fill(&f.PIDs, recorded.PIDs)
	fill(&f.NetNS, recorded.NetNS)
	if len(f.Ports)+len(f.LocalPorts)+len(f.RemotePorts) == 0 {
		f.Ports, f.LocalPorts, f.RemotePorts = recorded.Ports, recorded.LocalPorts, recorded.RemotePorts
	}
	fill(&f.Nets, recorded.Nets)
	if !f.IPv4 && !f.IPv6 {
		f.IPv4, f.IPv6 = recorded.IPv4, recorded.IPv6
	}
	return f
}

func fill[T any](list *[]T, other []T) {
	if len(*list) == 0 {
		*list = slices.Clone(other)
	}
}

func add(total *trace.Summary, s trace.Summary) {
	total.Records += s.Records
	total.Lost += s.Lost
	total.Untold += s.Untold
	total.Unjudged += s.Unjudged
	total.Dropped += s.Dropped
	total.Overflown += s.Overflown
}

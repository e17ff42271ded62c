package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/join"
	"github.com/tcptrace/tcptrace/internal/recording"
	"github.com/tcptrace/tcptrace/internal/render"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// A joined is recordings of several hosts with the connections that they have in
// common.
type joined struct {
	network  *join.Network
	sessions []string // of the network's hosts
}

// host returns the place of a recording among the hosts.
func (j *joined) host(r *recording.Recording) int { return slices.Index(j.sessions, r.Info().Session) }

// joinHosts reads all recordings, if there are several of them and a command
// asked for it, finds out which ends belong together, and says so. What cannot be
// read twice, as standard input, is not joined.
func (l *live) joinHosts(stderr io.Writer) error {
	if !l.joins || len(l.from) < 2 || slices.Contains(l.from, "-") {
		return nil
	}
	set, err := recording.Open(l.from...)
	if err != nil {
		return err
	}
	defer set.Close()
	if len(set.Recordings) < 2 {
		return nil
	}
	ctx, stop := interruptible(io.Discard)
	defer stop()
	j, err := readEnds(ctx, set)
	if err != nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	l.joined = j
	for i := range j.network.Links {
		_, _ = stderr.Write(render.AppendLink(nil, j.network, &j.network.Links[i]))
	}
	if len(j.network.Links) == 0 {
		fmt.Fprintln(stderr, "tcptrace: these recordings have no connection in common")
	}
	return nil
}

// readEnds reads recordings to their ends. One that is damaged gives what it has:
// who reads it for the user says what is wrong.
func readEnds(ctx context.Context, set *recording.Set) (*joined, error) {
	j := &joined{}
	hosts := make([]join.Host, len(set.Recordings))
	errs := make([]error, len(set.Recordings))
	var running sync.WaitGroup
	for i, r := range set.Recordings {
		j.sessions = append(j.sessions, r.Info().Session)
		running.Go(func() {
			defer r.Done()
			ends := join.NewCollector(r.Clock())
			t := trace.New(trace.Options{Now: r.Now})
			r.OnBatch = t.Batch
			_, errs[i] = t.Run(ctx, r, ends)
			hosts[i] = join.Host{Name: safeName(r), Clock: r.Clock(), Ends: ends.Ends}
		})
	}
	running.Wait()
	for i, err := range errs {
		if damage := new(recording.DamageError); errors.As(err, &damage) {
			errs[i] = nil
		}
	}
	j.network = join.NewNetwork(hosts)
	return j, errors.Join(errs...)
}

// explainer returns what adds to a finding of the recording that is played what
// the other hosts know; nil where there is none.
func (l *live) explainer() func(*diagnose.Finding) {
	if l.joined == nil || l.playing == nil {
		return nil
	}
	host := l.joined.host(l.playing)
	if host < 0 {
		return nil
	}
	network := l.joined.network
	return func(f *diagnose.Finding) { network.Explain(host, f) }
}

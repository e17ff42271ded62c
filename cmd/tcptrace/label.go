package main

import (
	"time"

	"github.com/spf13/pflag"

	"github.com/tcptrace/tcptrace/internal/census"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/proc"
	"github.com/tcptrace/tcptrace/internal/trace"
)

func cmdlineFlag(fs *pflag.FlagSet, to *bool) {
	fs.BoolVar(to, "cmdline", false, "also the program and command line of each process, which may hold secrets")
}

const (
	// trusted is how long a pid is believed to be the same process, if its name
	// and cgroup are the same, too. The kernel gives pids in turn.
	trusted = time.Second
	// maxLabels bounds the processes, and the labels, that are remembered.
	maxLabels = 16384
)

// A labeler finds out more of the processes in events, and remembers it. One
// goroutine uses it.
type labeler struct {
	resolver *proc.Resolver
	cmdline  bool
	byPID    map[uint32]labeled
	last     labeled                      // the one of byPID that was asked for last: it often is again
	labels   map[event.Label]*event.Label // each label once
}

type labeled struct {
	label  *event.Label
	pid    uint32
	cgroup uint64
	comm   [16]byte
	at     event.Time // when it was looked for
}

func newLabeler(cmdline bool) (*labeler, error) {
	resolver, err := proc.NewResolver(proc.Options{Cmdline: cmdline})
	if err != nil {
		return nil, err
	}
	return &labeler{
		resolver: resolver, cmdline: cmdline,
		byPID: map[uint32]labeled{}, labels: map[event.Label]*event.Label{},
	}, nil
}

// Close ends its use; what it returned stays valid.
func (l *labeler) Close() error { return l.resolver.Close() }

// label says more of a process that was seen at a time; nil if nothing is known.
// It allocates nothing for a process that was seen before.
func (l *labeler) label(t *event.Task, at event.Time) *event.Label {
	if l.last.is(t, at) {
		return l.last.label
	}
	known, ok := l.byPID[t.PID]
	if ok && known.is(t, at) {
		l.last = known
		return known.label
	}
	if !ok && len(l.byPID) >= maxLabels {
		clear(l.byPID)
		clear(l.labels) // those in use live on
	}
	found := l.find(t, at)
	l.last = labeled{label: found, pid: t.PID, cgroup: t.Cgroup, comm: t.Comm, at: at}
	l.byPID[t.PID] = l.last
	return found
}

// is reports whether l still holds for a process that was seen at a time.
func (l *labeled) is(t *event.Task, at event.Time) bool {
	return l.pid == t.PID && l.comm == t.Comm && l.cgroup == t.Cgroup && at.Sub(l.at) < trusted
}

func (l *labeler) find(t *event.Task, at event.Time) *event.Label {
	var label event.Label
	if l.cmdline {
		if p, ok := l.resolver.Process(t.PID, time.Duration(at)); ok {
			label = containerLabel(&p.Container)
			label.Exe, label.Cmdline = p.Exe, p.Cmdline
		}
	}
	if label.Cgroup == "" || t.Cgroup != 0 { // the event's cgroup is of its time
		if c, ok := l.resolver.Container(t.Cgroup, t.PID, time.Duration(at)); ok {
			exe, cmdline := label.Exe, label.Cmdline
			label = containerLabel(&c)
			label.Exe, label.Cmdline = exe, cmdline
		}
	}
	if label == (event.Label{}) {
		return nil
	}
	known := l.labels[label]
	if known == nil {
		known = new(label)
		l.labels[label] = known
	}
	return known
}

// labelled returns a source that says more of the processes in what another hands
// over. It asks of each as its event comes, which may be the last moment at which
// anything can be known of it.
func labelled(from trace.Source, label census.Labeler) trace.Source {
	return tapped{from, func(ev *event.Event, handle event.Handler) {
		if ev.Task.Known() {
			ev.Task.Label = label(&ev.Task, ev.Time)
		}
		handle(ev)
	}}
}

func containerLabel(c *proc.Container) event.Label {
	return event.Label{Container: c.ID, Runtime: c.Runtime, Unit: c.Unit, PodUID: c.PodUID, Cgroup: c.Path}
}

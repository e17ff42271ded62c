package main

import (
	"time"

	"github.com/spf13/pflag"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/proc"
)

func cmdlineFlag(fs *pflag.FlagSet, to *bool) {
	fs.BoolVar(to, "cmdline", false, "also the program and command line of each process, which may hold secrets")
}

// holders labels the processes of a snapshot: each is looked at once.
type holders struct {
	resolver *proc.Resolver
	cmdline  bool
	known    map[uint32]*event.Label
	last     uint32
	lastIs   *event.Label
}

func newHolders(resolver *proc.Resolver, cmdline bool) *holders {
	return &holders{resolver: resolver, cmdline: cmdline, known: map[uint32]*event.Label{}}
}

func (h *holders) label(t *event.Task, at event.Time) *event.Label {
	if t.PID == h.last {
		return h.lastIs
	}
	l, ok := h.known[t.PID]
	if !ok {
		if p, found := h.resolver.Process(t.PID, time.Duration(at)); found {
			l = newLabel(&p.Container)
			if h.cmdline {
				l.Exe, l.Cmdline = p.Exe, p.Cmdline
			}
		}
		h.known[t.PID] = l
	}
	h.last, h.lastIs = t.PID, l
	return l
}

func newLabel(c *proc.Container) *event.Label {
	return &event.Label{Container: c.ID, Runtime: c.Runtime, Unit: c.Unit, PodUID: c.PodUID, Cgroup: c.Path}
}

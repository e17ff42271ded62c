package storm

import (
	"cmp"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

const (
	maxConns     = 5  // that a Group names
	maxProcesses = 32 // that a Group tells apart
)

// add counts n segments sent again at at.
func (g *group) add(at event.Time, class conn.Class, n uint32) {
	if g.First == 0 {
		g.First = at
	}
	g.Last = max(g.Last, at)
	g.Segments += uint64(n)
	g.Classes[class] += uint64(n)
	g.resent.add(at, uint64(n))
	g.Peak = max(g.Peak, g.resent.sum())
}

// meet counts one more connection.
func (g *group) meet(id event.ID, o *Origin) {
	if g.Connections == 0 {
		g.Sample = *o
	}
	g.Connections++
	if len(g.Conns) < maxConns {
		g.Conns = append(g.Conns, id)
	}
}

func (g *group) episode(c *conn.Change) {
	lost, _ := c.Episode.TimeLost(c.Time)
	g.Episodes++
	g.TimeLost += lost
	switch c.Episode.Lost {
	case conn.LostData:
		g.LostData++
	case conn.LostACKs:
		g.LostACKs++
	case conn.LostBoth:
		g.LostBoth++
	}
}

// Narrowest returns the narrowest group that has at least percent of all that
// was sent again in the Window until now, and for which a connection can be
// named: where to look first. It is the host where most of it has no
// connection, and nil where nothing was sent again.
func (s *Storm) Narrowest(now event.Time, percent uint64) *Group {
	s.tidy(now)
	all, unnamed := s.host.resent.until(now), s.host.unnamed.until(now)
	if all == 0 {
		return nil
	}
	best := s.host
	if named := all - unnamed; named >= unnamed {
		for _, g := range s.groups {
			if g.Scope > best.Scope && g.resent.until(now)*100 >= percent*named {
				best = g
			}
		}
	}
	return s.Look(&best.Group, now)
}

// Look brings the figures of g that speak of a Window up to date, and returns g.
func (s *Storm) Look(g *Group, now event.Time) *Group {
	of := s.groups[g.key()]
	if of == nil || &of.Group != g { // it is over
		g.Recent, g.Sent, g.Share = 0, 0, 0
		return g
	}
	g.Recent, g.Sent = of.resent.until(now), of.sent.until(now)
	unnamed := s.host.unnamed.until(now)
	named := s.host.resent.until(now) - unnamed
	switch {
	case g.Scope == Host:
		g.Share = 100
	case named == 0 || named < unnamed:
		g.Share = 0
	default:
		g.Share = 100 * g.Recent / named
	}
	return g
}

func (g *Group) key() key {
	k := key{scope: g.Scope, netns: g.NetNS, network: g.Network, pid: g.Process.PID, device: g.Device}
	if g.Scope == Peer {
		k.network, _ = g.Peer.Prefix(g.Peer.BitLen()) // no error: the length fits
	}
	return k
}

// Owner returns the process that has at least percent of what the group's
// connections sent again; the unknown one where none has.
func (s *Storm) Owner(g *Group, percent uint64) event.Task {
	if of := s.groups[g.key()]; of != nil && &of.Group == g {
		if top := of.processes.top(); top.segments*100 >= percent*g.Segments {
			return top.task
		}
	}
	return event.Task{}
}

// shares counts segments by process.
type shares map[uint32]*share

type share struct {
	task     event.Task
	segments uint64
}

func (s *shares) add(t *event.Task, n uint32) {
	if !t.Known() {
		return
	}
	if *s == nil {
		*s = shares{}
	}
	of := (*s)[t.PID]
	if of == nil {
		if len(*s) >= maxProcesses {
			return
		}
		of = &share{task: *t}
		(*s)[t.PID] = of
	}
	of.segments += uint64(n)
}

// top returns the process with most; of equals always the same.
func (s shares) top() (best share) {
	for _, of := range s {
		if cmp.Or(cmp.Compare(of.segments, best.segments), cmp.Compare(best.task.PID, of.task.PID)) > 0 {
			best = *of
		}
	}
	return best
}

// A window counts what happened in the last seconds, this one included.
type window struct {
	buckets [seconds]uint64
	second  int64 // that the newest bucket is of
	total   uint64
}

func secondOf(t event.Time) int64 { return int64(t) / 1e9 }

// move empties the buckets that fall out of the window that ends at now.
func (w *window) move(now event.Time) {
	to := secondOf(now)
	if to-w.second >= seconds {
		w.buckets, w.total, w.second = [seconds]uint64{}, 0, to
	}
	for w.second < to {
		w.second++
		w.total -= w.buckets[w.second%seconds]
		w.buckets[w.second%seconds] = 0
	}
}

// add counts n at at, which may be late by less than the window.
func (w *window) add(at event.Time, n uint64) {
	w.move(at)
	if second := secondOf(at); second > w.second-seconds {
		w.buckets[second%seconds] += n
		w.total += n
	}
}

func (w *window) sum() uint64 { return w.total }

// until returns what happened in the window that ends at now.
func (w *window) until(now event.Time) uint64 {
	w.move(now)
	return w.total
}

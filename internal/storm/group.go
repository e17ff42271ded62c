package storm

import (
	"cmp"
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// add counts n segments sent again at at.
func (g *group) add(at event.Time, class conn.Class, n uint32) {
	g.Last = max(g.Last, at)
	g.Segments += uint64(n)
	g.Classes[class] += uint64(n)
	g.advance(at)
	// A change that is late by less than the window has its bucket still.
	if second := second(at); second > g.second-seconds {
		g.buckets[second%seconds] += uint64(n)
	}
	g.Peak = max(g.Peak, g.recent())
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

func second(t event.Time) int64 { return int64(t) / int64(time.Second) }

// advance empties the buckets that fall out of the window that ends at now.
func (g *group) advance(now event.Time) {
	to := second(now)
	if to-g.second >= seconds {
		g.buckets = [seconds]uint64{}
		g.second = to
	}
	for g.second < to {
		g.second++
		g.buckets[g.second%seconds] = 0
	}
}

func (g *group) recent() (n uint64) {
	for _, b := range g.buckets {
		n += b
	}
	return n
}

// Groups returns the groups of which something was sent again in the Window
// until now: the widest scope first, in it those with the most.
func (s *Storm) Groups(now event.Time) []Group {
	var all []Group
	var total uint64
	if host := s.groups[key{scope: Host}]; host != nil {
		total = host.Segments
	}
	for _, g := range s.groups {
		g.advance(now)
		g.Recent = g.recent()
		if g.Recent == 0 {
			continue
		}
		g.SharePercent = 100 * float64(g.Segments) / float64(max(total, 1))
		all = append(all, g.Group)
	}
	slices.SortFunc(all, func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(b.Segments, a.Segments), cmp.Compare(a.Process.PID, b.Process.PID),
			cmp.Compare(a.Device, b.Device), a.Network.Addr().Compare(b.Network.Addr()), a.Peer.Compare(b.Peer))
	})
	return all
}

// Narrowest returns the narrowest of groups, as Groups returns them, that has at
// least percent of all that was sent again: where to look first. ok is false
// where there are none.
func Narrowest(groups []Group, percent float64) (g Group, ok bool) {
	for i := range groups {
		if groups[i].SharePercent >= percent && (!ok || groups[i].Scope > g.Scope) {
			g, ok = groups[i], true
		}
	}
	return g, ok
}

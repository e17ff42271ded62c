package join

import (
	"cmp"
	"slices"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Worst returns the pairs of a link that are most worth seeing, at most n, in
// order of time: those that are open, or ended at either end by another way than
// FIN, before others.
func (n *Network) Worst(k *Link, most int) []Pair {
	rank := func(p Pair) int {
		if n.Hosts[k.A].Ends[p.A].usual() && n.Hosts[k.B].Ends[p.B].usual() {
			return 1
		}
		return 0
	}
	all := slices.Clone(k.Pairs)
	slices.SortStableFunc(all, func(x, y Pair) int { return cmp.Compare(rank(x), rank(y)) })
	all = all[:min(len(all), most)]
	slices.SortFunc(all, func(x, y Pair) int {
		return cmp.Compare(n.Hosts[k.A].Ends[x.A].Begin, n.Hosts[k.A].Ends[y.A].Begin)
	})
	return all
}

// usual reports whether e went as most do. TIME_WAIT is as good as over.
func (e *End) usual() bool {
	if e.Over == 0 {
		return e.Conn.State == tcp.TimeWait
	}
	return e.Result == conn.EndFIN
}

// Ends returns both ends of a pair, the second with its times moved to the clock
// of the first.
func (n *Network) Ends(k *Link, p Pair) (a, b conn.Connection) {
	first, second := &n.Hosts[k.A], &n.Hosts[k.B]
	by := int64(second.Clock.Boot.Sub(first.Clock.Boot) - k.Offset)
	return first.Ends[p.A].Conn, move(second.Ends[p.B].Conn, event.Time(by))
}

// move returns c with all its times later by so much.
func move(c conn.Connection, by event.Time) conn.Connection {
	for _, t := range []*event.Time{&c.Since, &c.Opened, &c.Accepted, &c.Closed} {
		if *t != 0 {
			*t += by
		}
	}
	c.Spans = slices.Clone(c.Spans)
	for i := range c.Spans {
		c.Spans[i].Begin += by
		if c.Spans[i].End != 0 {
			c.Spans[i].End += by
		}
	}
	return c
}

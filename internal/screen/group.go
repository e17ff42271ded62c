package screen

import (
	"math"
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A group counts the sockets that have something in common: their process, their
// peer, or the listener that made them.
type group struct {
	key   groupKey
	owner conn.Owner // of a process and a listener, as it was last seen

	states [tcp.NumStates]int32 // open now
	open   int32                // their sum
	opened uint64
	ended  uint64
	resets uint64
	resent uint64 // segments
	rate   rate   // of begins

	// Of a listener alone.
	queue    event.Queue // its accept queue as it last was
	queueAt  event.Time  // 0: not known
	full     uint64      // packets that met a full accept queue
	fullSYN  uint64      // SYNs that met a full queue of requests
	drops    uint64      // by the sockets, as the kernel counts
	dropsSet bool

	idle         bool   // nobody is in it
	older, newer *group // in groups.oldest, while it is idle
}

// A groupKey tells groups of one kind apart.
type groupKey struct {
	pid   uint32         // of a process; 0: not known
	netns uint32         // of a listener
	at    netip.AddrPort // a listener's address; a peer's: port 0 where it is a client of ours
	role  conn.Role      // our side towards a peer
}

// groups keeps groups of one kind. Above the bound those make room that nobody
// is in, the longest idle first. Where all are in use, what is new shares one.
type groups struct {
	byKey          map[groupKey]*group
	last           [64]*group // those met last: see find
	max            int
	oldest, newest *group // that are idle, the longest idle first
	others         *group // nil until it is needed
}

func newGroups(most int) groups {
	return groups{byKey: map[groupKey]*group{}, max: most}
}

// find returns the group of a key, or nil.
func (x *groups) find(k groupKey) *group {
	addr := k.at.Addr().As16()
	met := &x.last[(k.pid+uint32(k.at.Port())+uint32(addr[15])+uint32(addr[14]))%uint32(len(x.last))]
	if g := *met; g != nil && g.key == k {
		return g
	}
	g := x.byKey[k]
	if g != nil {
		*met = g
	}
	return g
}

// get returns the group of a key.
func (x *groups) get(k groupKey) *group {
	g := x.find(k)
	if g != nil {
		return g
	}
	if len(x.byKey) >= x.max {
		old := x.oldest
		if old == nil {
			if x.others == nil {
				x.others = &group{}
			}
			return x.others
		}
		x.busy(old)
		delete(x.byKey, old.key)
		*old = group{}
		g = old
	} else {
		g = new(group)
	}
	g.key = k
	x.byKey[k] = g
	x.rest(g)
	return g
}

// enter counts one more in state s.
func (x *groups) enter(g *group, s tcp.State) {
	g.states[s]++
	if g.open++; g.idle {
		x.busy(g)
	}
}

// leave takes one off.
func (x *groups) leave(g *group, s tcp.State) {
	g.states[s]--
	if g.open--; g.open == 0 {
		x.rest(g)
	}
}

func (x *groups) rest(g *group) {
	if g == x.others || g.idle {
		return
	}
	g.idle, g.older, g.newer = true, x.newest, nil
	if x.newest != nil {
		x.newest.newer = g
	} else {
		x.oldest = g
	}
	x.newest = g
}

func (x *groups) busy(g *group) {
	if g.older != nil {
		g.older.newer = g.newer
	} else {
		x.oldest = g.newer
	}
	if g.newer != nil {
		g.newer.older = g.older
	} else {
		x.newest = g.older
	}
	g.idle, g.older, g.newer = false, nil, nil
}

// A rate is how many of something there were a second, of late: each counts
// less the longer it is ago.
type rate struct {
	perSecond float64
	at        event.Time
}

// rateSpan is the time in which what a rate counts fades to about a third.
const rateSpan = 5 * time.Second

func (r *rate) add(at event.Time) {
	r.perSecond = r.now(at) + float64(time.Second)/float64(rateSpan)
	r.at = max(r.at, at)
}

// now returns the rate at a time.
func (r *rate) now(at event.Time) float64 {
	if r.perSecond == 0 || at <= r.at {
		return r.perSecond
	}
	return r.perSecond * math.Exp(-float64(at-r.at)/float64(rateSpan))
}

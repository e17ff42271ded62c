package diagnose

import (
	"net/netip"
	"strings"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// maxDestinations bounds the addresses connected to that are counted.
const maxDestinations = 1 << 14

// usualTimeWait is TCP_TIMEWAIT_LEN (include/net/tcp.h); no sysctl changes it.
const usualTimeWait = 60 * time.Second

type destinationKey struct {
	netns  uint32
	remote netip.AddrPort
}

// A destination is an address and port that sockets of one network namespace
// are connected to. Each of these sockets has a local port of its own: of
// connect()'s range there is one for each connection to the same destination.
type destination struct {
	key       destinationKey
	states    [tcp.NumStates]int
	processes tally[*process]
	connects  window
	entering  window     // TIME_WAIT
	conns     []event.ID // the last in TIME_WAIT
	succeeded uint64     // handshakes
	exhausted bool       // connect() found no port: a finding of its own
	timeWait  struct {   // those that expired
		longest time.Duration
		count   uint64
	}
	used event.Time // last change
}

// held returns how many local ports are in use.
func (x *destination) held() (n int) {
	for s, count := range x.states {
		if tcp.State(s) != tcp.Listen && tcp.State(s) != tcp.SynRecv {
			n += count
		}
	}
	return n
}

// words spells which states hold the ports, the most first.
func (x *destination) words() string {
	var parts []string
	counts := x.states
	for {
		best := tcp.Unknown
		for s := range counts {
			if counts[s] > 0 && (best == tcp.Unknown || counts[s] > counts[best]) {
				best = tcp.State(s)
			}
		}
		if best == tcp.Unknown {
			return strings.Join(parts, " ")
		}
		parts = append(parts, best.String()+"="+digits(counts[best]))
		counts[best] = 0
	}
}

// destinations counts the connections of clients by where they go.
type destinations struct {
	e     *Engine
	known map[destinationKey]*destination
	last  *destination // the one that was asked for; nil: none
	swept event.Time   // when unused ones were last forgotten
}

func (d *destinations) init(e *Engine) {
	d.e, d.known = e, map[destinationKey]*destination{}
}

// of returns the destination of a connection, nil where it has none, or there
// are too many.
func (d *destinations) of(c *conn.Connection) *destination {
	if c.Role == conn.Server || c.Remote.Port() == 0 || c.Listener() {
		return nil
	}
	if c.Role == conn.RoleUnknown && !d.chosen(c) {
		return nil
	}
	k := destinationKey{c.ID.NetNS, netip.AddrPortFrom(c.Remote.Addr().Unmap(), c.Remote.Port())}
	if d.last != nil && d.last.key == k {
		return d.last
	}
	x := d.known[k]
	if x == nil && len(d.known) < maxDestinations {
		x = &destination{key: k}
		d.known[k] = x
	}
	d.last = x
	return x
}

// chosen reports whether a connection's local port is of those that connect()
// chooses. One that the process bound itself, outside of them, takes none away.
func (d *destinations) chosen(c *conn.Connection) bool {
	return d.e.ports(c.ID.NetNS).has(c.Local.Port())
}

func (d *destinations) change(c *conn.Change) {
	switch c.Kind {
	case conn.Transition, conn.Corrected, conn.Found, conn.Ended:
	default:
		return
	}
	x := d.of(c.Conn)
	if x == nil {
		return
	}
	x.used = c.Time
	x.attempt(d.e, c)
	if !d.chosen(c.Conn) {
		return
	}
	switch {
	case c.Kind == conn.Ended && c.Conn.State != tcp.Close:
		x.leave(c.Conn.State) // nobody saw its end
		return
	case c.Kind == conn.Ended:
		return
	case c.Old.Valid() && c.Old != tcp.Close:
		x.leave(c.Old)
	}
	x.enter(c)
}

// attempt counts calls of connect(), and those that succeed.
func (x *destination) attempt(e *Engine, c *conn.Change) {
	switch {
	case c.Kind != conn.Transition:
	case c.Old == tcp.Close && c.New == tcp.SynSent:
		x.connects.add(c.Time, 1)
		if p := e.ownerOf(c.Conn); p != nil {
			x.processes.add(p)
		}
	case c.Old == tcp.SynSent && c.New == tcp.Established:
		x.succeeded++
	}
}

func (x *destination) leave(s tcp.State) { x.states[s] = max(0, x.states[s]-1) }

func (x *destination) enter(c *conn.Change) {
	switch {
	case c.New == tcp.Close && c.Old == tcp.TimeWait && c.Cause == event.CauseExpired && c.InStateKnown:
		x.timeWait.count++
		x.timeWait.longest = max(x.timeWait.longest, c.InState)
		return
	case !c.New.Valid() || c.New == tcp.Close:
		return
	case c.New == tcp.TimeWait:
		x.entering.add(c.Time, 1)
		if len(x.conns) == maxConns {
			x.conns = append(x.conns[:0], x.conns[1:]...)
		}
		x.conns = append(x.conns, c.Conn.ID)
	}
	x.states[c.New]++
}

// length returns how long TIME_WAIT lasts here, as measured if it was.
func (x *destination) length() time.Duration {
	if x.timeWait.count > 0 {
		return x.timeWait.longest
	}
	return usualTimeWait
}

// tick forgets, once a minute, what nothing is connected to any more.
func (d *destinations) tick() {
	if d.e.now.Sub(d.swept) < time.Minute {
		return
	}
	d.swept, d.last = d.e.now, nil
	for k, x := range d.known {
		if x.held() == 0 && d.e.now.Sub(x.used) > time.Minute {
			delete(d.known, k)
		}
	}
}

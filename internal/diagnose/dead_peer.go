package diagnose

import (
	"net/netip"
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/drop"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	deadTimeouts = 5               // in a row, without an acknowledgement
	deadAfter    = 5 * time.Second // that these take at least
	deadMany     = 10
	maxDying     = 1 << 16
)

var deadPeer = Rule{
	Name:  "dead-peer",
	Short: "an established connection whose peer is gone",
	Meaning: "What we send is not acknowledged any more, or the peer does not answer keepalive probes. The kernel gives up with ETIMEDOUT" +
		" after tcp_retries2 (some 15 minutes by default), TCP_USER_TIMEOUT, or the keepalive probes. The peer's host went down, a firewall or" +
		" NAT forgot the connection, or the way is cut. A connection that only waits to read, without keepalive, never learns of it.",
	When: "The kernel gave a connection up with ETIMEDOUT, or five retransmission timeouts in a row, over 5 s or more, had no answer. For a" +
		" client each is a warning: its server is gone. A server loses clients every day: there it is information until ten of one address," +
		" and so is what was answered after all. A connection that idles is information, too, where its other end was on this host and has" +
		" been over for 5 s, and where it has heard nothing for longer than tcp_keepalive_time and has no keepalive (SO_KEEPALIVE): nobody" +
		" would know if its peer were gone. That is looked at as the trace begins, and every minute.",
	Evidence: append([]Term{
		{"timed_out", "connections that the kernel gave up"},
		{"by_keepalive", "of these, with nothing in flight: keepalive found it"},
		{"silent", "connections that still try, now"},
		{"idle", "connections whose other end, on this host, is over, and that do not know it, now"},
		{"no_keepalive", "connections that have heard nothing for longer than tcp_keepalive_time, and have no keepalive, now"},
		{"answered", "connections that were answered after all"},
		{"oldest_ns", "how long the longest of those that try, or idle, has had no peer: since its first timeout, the other end's end, or what it" +
			" heard last"},
		{"role", "client or server: which side we are"},
		{"remote", "the address, for a client with its port; not of a server's connections that idle without keepalive"},
		{"tcp_retries2", "the sysctl"}, {"tcp_keepalive_time", "the sysctl, in seconds; only for sockets that ask for keepalive"},
	}, slices.Concat(dropTerms, descriptorTerms)...),
	Advice: "See whether the peer's host is up, and whether a firewall or NAT between forgets idle connections. Then let the program turn" +
		" on keepalive with a time below that (TCP_KEEPIDLE), and set TCP_USER_TIMEOUT so that it learns of it in seconds, not in minutes.",
	Cost: "Keepalive sends a packet per connection and interval; a short TCP_USER_TIMEOUT gives up on a network that is only slow.",
	More: "tcptrace watch --pid PID --kind retransmit",
	Limits: "A connection that idles without keepalive is as likely to be well as not: nothing tells. One that the program itself keeps alive," +
		" by messages of its own, hears of them, and is not meant.",
	begin: func(e *Engine, r *Rule) watcher {
		w := &deadPeerWatcher{e: e, trying: map[event.ID]event.Time{}, dying: map[event.ID]*dying{}}
		w.book = newBook(e, r, w.describe)
		return w
	},
}

type deadPeerWatcher struct {
	e      *Engine
	book   book[death]
	trying map[event.ID]event.Time // that had timeouts without an answer, since the first
	dying  map[event.ID]*dying     // counted, and not over
	left   []left                  // the oldest first
	unsure []left                  // likewise
}

// A dying connection is one of a cause's.
type dying struct {
	of    *entry[death]
	since event.Time
	sign  sign
}

// A sign is what a connection that seemed dead does.
type sign uint8

const (
	silent   sign = iota // it still tries
	idle                 // its other end is over, and it has not tried to send
	unasked              // it has heard nothing for long, and has no keepalive
	answered             // it was acknowledged after all
	numSigns
)

func (d *dying) turn(e *Engine, to sign) {
	d.of.data.now[d.sign]--
	d.of.data.now[to]++
	d.sign = to
	e.touch(&d.of.cause)
}

type death struct {
	at        netip.AddrPort
	role      conn.Role
	timedOut  uint64
	keepalive uint64
	answered  uint64        // and then over
	now       [numSigns]int // of those that are not over
	drops     drop.Tally
}

func (w *deadPeerWatcher) wants() wants {
	return wants{kinds: kindsOf(conn.Retransmitted, conn.Episode, conn.Transition, conn.Corrected, conn.Idle, conn.Ended)}
}

func (w *deadPeerWatcher) change(c *conn.Change) {
	switch c.Kind {
	case conn.Retransmitted:
		if c.Class == conn.ClassRTO && alive(c.Event.Old) && c.Conn.Closed == 0 {
			w.timeout(c)
		}
	case conn.Episode:
		w.episode(c)
	case conn.Transition, conn.Corrected:
		w.acquit(c.Conn.ID)
	case conn.Idle:
		w.rest(c)
	case conn.Ended:
		w.ended(c)
	}
}

func alive(s tcp.State) bool { return s == tcp.Established || s == tcp.CloseWait }

// timeout notes one more without an answer. Timers can be short: it is the time
// that tells.
func (w *deadPeerWatcher) timeout(c *conn.Change) {
	id, n := c.Conn.ID, c.Event.Retransmission.Retransmits
	since, ok := w.trying[id]
	if !ok || n <= 1 {
		if ok || len(w.trying) < maxDying {
			w.trying[id] = c.Time
		}
		return
	}
	if n >= deadTimeouts && c.Time.Sub(since) >= deadAfter {
		w.count(c.Conn, since, c.Time, silent)
	}
}

// count makes a connection one of its cause's.
func (w *deadPeerWatcher) count(c *conn.Connection, since, now event.Time, as sign) {
	if d := w.dying[c.ID]; d != nil {
		switch {
		case d.sign == as:
			d.since = max(d.since, since)
		case as == silent:
			if d.sign == unasked {
				w.e.drops.follow(c.ID, &d.of.data.drops)
			}
			d.since = since
			d.turn(w.e, as)
		}
		return
	}
	x := w.find(c, as)
	if x == nil || len(w.dying) >= maxDying {
		return
	}
	w.dying[c.ID] = &dying{of: x, since: since, sign: as}
	x.data.now[as]++
	x.note(w.e, c.ID, now)
	x.withdrawn = false
	if as != unasked {
		w.e.drops.follow(c.ID, &x.data.drops)
	}
}

// gone takes a connection out of its cause's, and returns the cause, or nil.
func (w *deadPeerWatcher) gone(id event.ID) *entry[death] {
	delete(w.trying, id)
	d := w.dying[id]
	if d == nil {
		return nil
	}
	delete(w.dying, id)
	d.of.data.now[d.sign]--
	if d.sign == answered {
		d.of.data.answered++
	}
	w.e.touch(&d.of.cause)
	return d.of
}

func (w *deadPeerWatcher) episode(c *conn.Change) {
	if c.Episode.Outcome != conn.OutcomeRecovered || !c.Episode.EndKnown {
		return
	}
	delete(w.trying, c.Conn.ID)
	if d := w.dying[c.Conn.ID]; d != nil {
		d.turn(w.e, answered)
	}
}

func (w *deadPeerWatcher) ended(c *conn.Change) {
	id := c.Conn.ID
	w.acquit(id)
	w.leave(c)
	x := w.gone(id)
	if c.Conn.End != conn.EndTimeout || len(c.Conn.Spans) == 0 || !alive(c.Conn.Spans[len(c.Conn.Spans)-1].State) {
		return
	}
	if x == nil {
		if x = w.find(c.Conn, silent); x == nil {
			return
		}
		x.note(w.e, id, c.Time)
		w.e.drops.follow(id, &x.data.drops)
	}
	x.data.timedOut++
	if c.Conn.Retransmits[conn.ClassRTO] == 0 {
		x.data.keepalive++
	}
}

// find returns the cause of a connection that shows a sign: its own address, but
// of a server that is not heard of its clients have nothing in common.
func (w *deadPeerWatcher) find(c *conn.Connection, as sign) *entry[death] {
	p := w.e.ownerOf(c)
	at := netip.AddrPortFrom(c.Remote.Addr().Unmap(), c.Remote.Port())
	switch {
	case c.Role == conn.Server && as == unasked:
		at = netip.AddrPort{}
	case c.Role == conn.Server:
		at = netip.AddrPortFrom(at.Addr(), 0)
	}
	x := w.book.entry(key{who: p, netns: c.ID.NetNS, at: at}, p)
	if x != nil {
		x.data.at, x.data.role = at, c.Role
		x.holds = func(id event.ID) bool {
			return w.dying[id] != nil && w.dying[id].of == x && w.dying[id].sign != answered
		}
		x.sockets = func(yield func(event.ID) bool) { w.sockets(x, yield) }
	}
	return x
}

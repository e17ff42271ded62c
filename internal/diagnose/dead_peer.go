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
	deadIdle     = 5 * time.Second // that a connection outlives its other end
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
		" been over for 5 s.",
	Evidence: append([]Term{
		{"timed_out", "connections that the kernel gave up"},
		{"by_keepalive", "of these, with nothing in flight: keepalive found it"},
		{"silent", "connections that still try, now"},
		{"idle", "connections whose other end, on this host, is over, and that do not know it, now"},
		{"answered", "connections that were answered after all"},
		{"oldest_ns", "how long the longest of those that try, or idle, has had no peer: since its first timeout, or the other end's end"},
		{"role", "client or server: which side we are"},
		{"remote", "the address, for a client with its port"},
		{"tcp_retries2", "the sysctl"}, {"tcp_keepalive_time", "the sysctl, in seconds; only for sockets that ask for keepalive"},
	}, slices.Concat(dropTerms, descriptorTerms)...),
	Advice: "See whether the peer's host is up, and whether a firewall or NAT between forgets idle connections. Then let the program turn" +
		" on keepalive with a time below that (TCP_KEEPIDLE), and set TCP_USER_TIMEOUT so that it learns of it in seconds, not in minutes.",
	Cost: "Keepalive sends a packet per connection and interval; a short TCP_USER_TIMEOUT gives up on a network that is only slow.",
	More: "tcptrace watch --pid PID --kind retransmit",
	Limits: "A connection that idles without keepalive, and whose peer was on another host, shows nothing at all, and is not found:" +
		" tcptrace snapshot lists what has keepalive.",
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
	answered             // it was acknowledged after all
	numSigns
)

func (d *dying) turn(e *Engine, to sign) {
	d.of.data.now[d.sign]--
	d.of.data.now[to]++
	d.sign = to
	e.touch(&d.of.cause)
}

// A left connection may be one whose other end, which was over at a time, did
// not tell it.
type left struct {
	flow flow
	id   event.ID
	at   event.Time
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

func (w *deadPeerWatcher) change(c *conn.Change) {
	switch c.Kind {
	case conn.Retransmitted:
		if c.Class == conn.ClassRTO && alive(c.Event.Old) && c.Conn.Closed == 0 {
			w.timeout(c)
		}
	case conn.Episode:
		w.episode(c)
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
		if d.sign != as && as == silent {
			d.since = since
			d.turn(w.e, as)
		}
		return
	}
	x := w.find(c)
	if x == nil || len(w.dying) >= maxDying {
		return
	}
	w.dying[c.ID] = &dying{of: x, since: since, sign: as}
	x.data.now[as]++
	x.note(w.e, c.ID, now)
	w.e.drops.follow(c.ID, &x.data.drops)
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
	w.leave(c)
	x := w.gone(id)
	if c.Conn.End != conn.EndTimeout || len(c.Conn.Spans) == 0 || !alive(c.Conn.Spans[len(c.Conn.Spans)-1].State) {
		return
	}
	if x == nil {
		if x = w.find(c.Conn); x == nil {
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

// leave notes that the other end of a connection is over. If it is on this host
// and established still, a FIN or RST should reach it soon.
func (w *deadPeerWatcher) leave(c *conn.Change) {
	at := flowOf(c.Conn.ID.NetNS, c.Conn.Local, c.Conn.Remote).swapped()
	if other, ok := w.e.peers.end(at); ok && other.state == tcp.Established && len(w.left) < maxDying {
		w.left = append(w.left, left{flow: at, id: other.id, at: c.Time})
	}
}

func (w *deadPeerWatcher) tick() {
	n := 0
	for ; n < len(w.left) && w.e.now.Sub(w.left[n].at) >= deadIdle; n++ {
		w.outlived(&w.left[n])
	}
	w.left = slices.Delete(w.left, 0, n)
}

// outlived counts a connection that has not learnt that its other end is over,
// if that is certain: no event was lost meanwhile, and no other socket has taken
// the other end's place, as where a process moves.
func (w *deadPeerWatcher) outlived(l *left) {
	this, ok := w.e.peers.end(l.flow)
	if !ok || this.id != l.id || this.state != tcp.Established || w.e.lostSince(l.at) {
		return
	}
	if _, again := w.e.peers.end(l.flow.swapped()); again {
		return
	}
	w.count(&conn.Connection{ID: l.id, Local: l.flow.local, Remote: l.flow.remote, Role: this.role, Owner: this.process.known()}, l.at, w.e.now, idle)
}

func (w *deadPeerWatcher) find(c *conn.Connection) *entry[death] {
	p := w.e.ownerOf(c)
	at := netip.AddrPortFrom(c.Remote.Addr().Unmap(), c.Remote.Port())
	if c.Role == conn.Server {
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

func (w *deadPeerWatcher) describe(x *entry[death], f *Finding) {
	d := &x.data
	f.Severity = Warning
	if d.role == conn.Server && x.count < deadMany || d.timedOut == 0 && d.now[silent] == 0 {
		f.Severity = Info
	}
	heard := d.answered + uint64(d.now[answered])
	f.Summary = connections(x.count) + " to " + endpoint(d.at) + " without a sign of life: " + digits(d.timedOut) + " given up (ETIMEDOUT), " +
		digits(d.now[silent]) + " still trying"
	if d.now[idle] > 0 {
		f.Summary += ", " + digits(d.now[idle]) + " idle"
	}
	if heard > 0 {
		f.Summary += ", " + digits(heard) + " answered after all"
	}
	if n := int64(x.count) - int64(d.timedOut+heard) - int64(d.now[silent]+d.now[idle]); n > 0 {
		f.Summary += ", " + digits(n) + " ended otherwise"
	}
	f.Cause = "what we send is not acknowledged"
	switch {
	case d.timedOut > 0 && d.keepalive == d.timedOut:
		f.Cause = "keepalive probes were not answered"
	case d.keepalive > 0:
		f.Cause = "what we send is not acknowledged, or keepalive probes are not answered"
	case d.now[idle] == int(x.count):
		f.Cause = "the other end, on this host, is over, and no FIN or RST of it came; only keepalive or a write would find that out"
	}
	v := (*figures)(&f.Evidence)
	v.count("timed_out", int64(d.timedOut))
	v.some("by_keepalive", int64(d.keepalive))
	v.some("silent", int64(d.now[silent]))
	v.some("idle", int64(d.now[idle]))
	v.some("answered", int64(heard))
	if since := w.longest(x); since != 0 {
		v.length("oldest", w.e.now.Sub(since))
	}
	v.word("role", d.role.String())
	v.word("remote", endpoint(d.at))
	tellDrops(f, &d.drops, "segment", "segments", 2*x.count)
	w.e.quote(f, x.key.netns, sysctlRetries2, sysctlKeepaliveTime)
}

// longest returns since when the first of those that try, or idle, has had no
// peer; 0 where there are none.
func (w *deadPeerWatcher) longest(x *entry[death]) (since event.Time) {
	if x.data.now[silent]+x.data.now[idle] == 0 {
		return 0
	}
	for _, d := range w.dying {
		if d.of == x && d.sign != answered && (since == 0 || d.since < since) {
			since = d.since
		}
	}
	return since
}

// sockets yields those that try, or idle, in any order.
func (w *deadPeerWatcher) sockets(x *entry[death], yield func(event.ID) bool) {
	if x.data.now[silent]+x.data.now[idle] == 0 {
		return
	}
	for id, d := range w.dying {
		if d.of == x && d.sign != answered && !yield(id) {
			return
		}
	}
}

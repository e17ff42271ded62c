package diagnose

import (
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	deadTimeouts = 5 // in a row, without an acknowledgement
	deadMany     = 10
	maxDying     = 1 << 16
)

var deadPeer = Rule{
	Name:  "dead-peer",
	Short: "an established connection whose peer is gone",
	Meaning: "What we send is not acknowledged any more, or the peer does not answer keepalive probes. The kernel gives up with ETIMEDOUT" +
		" after tcp_retries2 (some 15 minutes by default), TCP_USER_TIMEOUT, or the keepalive probes. The peer's host went down, a firewall or" +
		" NAT forgot the connection, or the way is cut.",
	When: "The kernel gave a connection up with ETIMEDOUT, or five retransmission timeouts in a row (6 s or more) had no answer. For a" +
		" client each is a warning: its server is gone. A server loses clients every day: there it is information until ten of one address.",
	Evidence: append([]Term{
		{"timed_out", "connections that the kernel gave up"},
		{"by_keepalive", "of these, with nothing in flight: keepalive found it"},
		{"silent", "connections that still try, now"},
		{"oldest_ns", "since when the longest of these has had five timeouts behind it"},
		{"role", "client or server: which side we are"},
		{"remote", "the address, for a client with its port"},
		{"tcp_retries2", "the sysctl"}, {"tcp_keepalive_time", "the sysctl, in seconds; only for sockets that ask for keepalive"},
	}, descriptorTerms...),
	Advice: "See whether the peer's host is up, and whether a firewall or NAT between forgets idle connections. Then let the program turn" +
		" on keepalive with a time below that (TCP_KEEPIDLE), and set TCP_USER_TIMEOUT so that it learns of it in seconds, not in minutes.",
	Cost:   "Keepalive sends a packet per connection and interval; a short TCP_USER_TIMEOUT gives up on a network that is only slow.",
	More:   "tcptrace watch --pid PID --kind retransmit",
	Limits: "A connection that idles without keepalive shows nothing at all, and is not found: tcptrace snapshot lists what has keepalive.",
	begin: func(e *Engine, r *Rule) watcher {
		w := &deadPeerWatcher{e: e, dying: map[event.ID]dying{}}
		w.book = newBook(e, r, w.describe)
		return w
	},
}

type deadPeerWatcher struct {
	e     *Engine
	book  book[death]
	dying map[event.ID]dying // counted, and not over
}

type dying struct {
	of    *entry[death]
	since event.Time
}

type death struct {
	at        netip.AddrPort
	role      conn.Role
	timedOut  uint64
	keepalive uint64
	silent    int
}

func (w *deadPeerWatcher) tick() {}

func (w *deadPeerWatcher) change(c *conn.Change) {
	switch {
	case c.Kind == conn.Retransmitted:
		r := &c.Event.Retransmission
		if c.Class == conn.ClassRTO && r.Retransmits >= deadTimeouts && alive(c.Event.Old) {
			w.silent(c)
		}
	case c.Kind == conn.Ended:
		w.ended(c)
	}
}

func alive(s tcp.State) bool { return s == tcp.Established || s == tcp.CloseWait }

func (w *deadPeerWatcher) silent(c *conn.Change) {
	id := c.Conn.ID
	if w.dying[id].of != nil || len(w.dying) >= maxDying || c.Conn.Closed != 0 {
		return
	}
	if x := w.find(c.Conn); x != nil {
		w.dying[id] = dying{of: x, since: c.Time}
		x.data.silent++
		x.note(w.e, id, c.Time)
	}
}

func (w *deadPeerWatcher) ended(c *conn.Change) {
	id := c.Conn.ID
	x := w.dying[id].of
	if x != nil {
		delete(w.dying, id)
		x.data.silent--
		w.e.touch(&x.cause)
	}
	if c.Conn.Err != event.ETIMEDOUT || len(c.Conn.Spans) == 0 || !alive(c.Conn.Spans[len(c.Conn.Spans)-1].State) {
		return
	}
	if x == nil {
		if x = w.find(c.Conn); x == nil {
			return
		}
		x.note(w.e, id, c.Time)
	}
	x.data.timedOut++
	if c.Conn.Retransmits[conn.ClassRTO] == 0 {
		x.data.keepalive++
	}
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
		x.holds = func(id event.ID) bool { return w.dying[id].of == x }
	}
	return x
}

func (w *deadPeerWatcher) describe(x *entry[death], f *Finding) {
	d := &x.data
	f.Severity = Warning
	if d.role == conn.Server && x.count < deadMany {
		f.Severity = Info
	}
	f.Summary = connections(x.count) + " to " + endpoint(d.at) + " without a sign of life: " + digits(d.timedOut) + " given up (ETIMEDOUT), " +
		digits(d.silent) + " still trying"
	if n := int64(x.count) - int64(d.timedOut) - int64(d.silent); n > 0 {
		f.Summary += ", " + digits(n) + " ended otherwise"
	}
	f.Cause = "what we send is not acknowledged"
	switch {
	case d.timedOut > 0 && d.keepalive == d.timedOut:
		f.Cause = "keepalive probes were not answered"
	case d.keepalive > 0:
		f.Cause = "what we send is not acknowledged, or keepalive probes are not answered"
	}
	v := (*figures)(&f.Evidence)
	v.count("timed_out", int64(d.timedOut))
	v.some("by_keepalive", int64(d.keepalive))
	v.some("silent", int64(d.silent))
	if since := w.longest(x); since != 0 {
		v.length("oldest", w.e.now.Sub(since))
	}
	v.word("role", d.role.String())
	v.word("remote", endpoint(d.at))
	w.e.quote(f, x.key.netns, sysctlRetries2, sysctlKeepaliveTime)
}

// longest returns since when the first of those that still try has been silent;
// 0 where there are none.
func (w *deadPeerWatcher) longest(x *entry[death]) (since event.Time) {
	if x.data.silent == 0 {
		return 0
	}
	for _, d := range w.dying {
		if d.of == x && (since == 0 || d.since < since) {
			since = d.since
		}
	}
	return since
}

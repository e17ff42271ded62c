package diagnose

import (
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/conn"
)

const (
	refusedMany  = 5
	refusedShare = 20 // percent of what the process tried there
)

var connectRefused = Rule{
	Name:  "connect-refused",
	Short: "connect() meets a closed port (RST)",
	Meaning: "The SYN was answered with a RST: nothing listens on that address and port, or a firewall rejects it with a TCP reset." +
		" connect() fails with ECONNREFUSED at once.",
	When: "One connect() was refused: information, as a resolver's second address or a look whether a service is up ends so on any host." +
		" Five of one process at one address and port, that are 20% of what it tried there, are a warning.",
	Evidence: []Term{
		{"refused", "calls of connect() that were refused"},
		{"connected", "those of any process to the same address that succeeded"},
		{"remote", "the address and port"},
		{"per_second", "refused, over the last ten seconds"},
	},
	Advice: "See whether the service runs and listens on that address (on its host: ss -ltn; bound to 127.0.0.1 it is there for its own" +
		" host alone), and whether name or port are right in the client's configuration. Let clients wait longer between tries.",
	Cost: "Waiting between tries makes a client find the service later when it is back.",
	More: "tcptrace watch --pid PID --kind reset",
	begin: func(e *Engine, r *Rule) watcher {
		w := &connectRefusedWatcher{e: e}
		w.book = newBook(e, r, w.describe)
		return w
	},
	Limits: "A RST of a firewall cannot be told from that of a closed port on another host.",
}

type connectRefusedWatcher struct {
	e    *Engine
	book book[refusal]
}

type refusal struct {
	at     netip.AddrPort
	recent window
	here   bool
}

func (w *connectRefusedWatcher) tick() {
	for _, x := range w.book.entries {
		if !x.withdrawn && x.key.who.scanning() {
			w.e.touch(&x.cause)
		}
	}
}

func (w *connectRefusedWatcher) wants() wants { return wants{kinds: kindsOf(conn.Ended)} }

func (w *connectRefusedWatcher) change(c *conn.Change) {
	if c.Kind != conn.Ended || c.Conn.End != conn.EndRefused || c.Conn.Role == conn.Server {
		return
	}
	p := w.e.ownerOf(c.Conn)
	if p.scanning() {
		return
	}
	at := netip.AddrPortFrom(c.Conn.Remote.Addr().Unmap(), c.Conn.Remote.Port())
	x := w.book.entry(key{who: p, netns: c.Conn.ID.NetNS, at: at}, p)
	if x == nil {
		return
	}
	x.data.at = at
	x.data.recent.add(c.Time, 1)
	x.data.here = at.Addr().IsLoopback() || at.Addr() == c.Conn.Local.Addr().Unmap()
	x.note(w.e, c.Conn.ID, c.Time)
}

func (w *connectRefusedWatcher) describe(x *entry[refusal], f *Finding) {
	var connected uint64
	if d := w.e.destinations.known[destinationKey{x.key.netns, x.data.at}]; d != nil {
		connected = d.succeeded
	}
	x.withdrawn = x.key.who.scanning()
	f.Withdrawn = x.withdrawn
	f.Severity = Info
	if x.count >= refusedMany && x.count*100 >= (x.count+connected)*refusedShare {
		f.Severity = Warning
	}
	f.Summary = several(x.count, "connect()", "calls of connect()") + " to " + endpoint(x.data.at) + " refused; " + digits(connected) + " succeeded"
	f.Cause = "the SYN was answered with a RST: nothing listens there, or a firewall rejects it"
	if x.data.here {
		f.Cause = "the SYN was answered with a RST by this host itself: nothing listens there"
	}
	v := (*figures)(&f.Evidence)
	v.count("refused", int64(x.count))
	v.count("connected", int64(connected))
	v.word("remote", endpoint(x.data.at))
	v.some("per_second", int64(x.data.recent.sum(w.e.now)/windowSeconds))
}

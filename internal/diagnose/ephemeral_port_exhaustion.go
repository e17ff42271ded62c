package diagnose

import (
	"net/netip"
	"strings"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// errAddrNotAvail is EADDRNOTAVAIL, the same on every architecture that we
// know of here.
const errAddrNotAvail event.Errno = 99

const opConnect = event.OpConnect

var ephemeralPortExhaustion = Rule{
	Name:  "ephemeral-port-exhaustion",
	Short: "connect() fails, since no local port is left",
	Meaning: "connect() found every port of ip_local_port_range in use towards that address and port, and failed with EADDRNOTAVAIL" +
		" before a SYN was sent. Ports are taken for each destination apart, so others still work.",
	When: "One connect() failed so: critical, as requests fail already. That it is about to is what time-wait-pressure warns of.",
	Evidence: []Term{
		{"failed", "calls of connect() that found no port"},
		{"ports", "how many there are: the size of ip_local_port_range"},
		{"ports_in_use", "towards the address, as far as was seen, at the last failure"},
		{"states", "which states hold them"},
		{"ip_local_port_range", "the sysctl"}, {"tcp_tw_reuse", "the sysctl"},
	},
	Advice: "See which states hold the ports. TIME_WAIT: use connections again, or set net.ipv4.tcp_tw_reuse=1. ESTABLISHED: bound the" +
		" process's pool. CLOSE_WAIT: the process leaks them. A wider ip_local_port_range, or a second local or remote address, gives room at once.",
	Cost: "A wider range may take ports that services want to listen on (ip_local_reserved_ports keeps them free); tcp_tw_reuse relies on" +
		" timestamps at both ends.",
	More: "tcptrace snapshot --pid PID --summary",
	begin: func(e *Engine, r *Rule) watcher {
		w := &exhaustionWatcher{e: e}
		w.book = newBook(e, r, w.describe)
		return w
	},
	Limits: "Where the kernel gives no event of the failed call, it is inferred from a connect() that ended before it had a port.",
}

type exhaustionWatcher struct {
	e    *Engine
	book book[exhaustion]
}

type exhaustion struct {
	at             netip.AddrPort
	unsent, failed uint64 // two signs of the same
	held           int
	states         string
}

func (w *exhaustionWatcher) tick() {}

func (w *exhaustionWatcher) change(c *conn.Change) {
	switch {
	case c.Kind == conn.Ended && c.Conn.End == conn.EndUnsent:
		if x := w.find(w.e.ownerOf(c.Conn), c.Conn.ID, c.Conn.Remote); x != nil {
			x.data.unsent++
			w.note(x, c.Conn.ID, c.Time)
		}
	case c.Kind == conn.Failed && c.Event.Op == opConnect && c.Event.Err == errAddrNotAvail:
		if x := w.find(w.e.task(&c.Event.Task), c.Event.ID, c.Event.Remote); x != nil {
			x.data.failed += uint64(max(c.Event.Count, 1))
			w.note(x, c.Event.ID, c.Time)
		}
	}
}

func (w *exhaustionWatcher) find(p *process, id event.ID, remote netip.AddrPort) *entry[exhaustion] {
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	x := w.book.entry(key{who: p, netns: id.NetNS, at: remote}, p)
	if x != nil {
		x.data.at = remote
		if d := w.e.destinations.known[destinationKey{id.NetNS, remote}]; d != nil {
			x.data.held, x.data.states = d.held(), d.words()
			d.exhausted = true
		}
	}
	return x
}

func (w *exhaustionWatcher) note(x *entry[exhaustion], id event.ID, at event.Time) {
	x.note(w.e, id, at)
	x.count = max(x.data.unsent, x.data.failed)
}

func (w *exhaustionWatcher) describe(x *entry[exhaustion], f *Finding) {
	d := &x.data
	ports := w.e.ports(x.key.netns)
	f.Severity = Critical
	f.Summary = several(x.count, "connect()", "calls of connect()") + " to " + endpoint(d.at) + " found no local port (EADDRNOTAVAIL)"
	f.Cause = "all ports of ip_local_port_range are taken towards that address"
	if ports.known {
		f.Cause = "all " + digits(ports.size()) + strings.TrimPrefix(f.Cause, "all")
	}
	if d.held > 0 {
		f.Cause += ", " + digits(d.held) + " of them seen: " + d.states
	}
	v := (*figures)(&f.Evidence)
	v.count("failed", int64(x.count))
	if ports.known {
		v.count("ports", int64(ports.size()))
	}
	v.some("ports_in_use", int64(d.held))
	v.word("states", d.states)
	w.e.quote(f, x.key.netns, sysctlPortRange, sysctlReuse)
}

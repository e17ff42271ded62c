package diagnose

import (
	"net/netip"
	"strings"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// errAddrNotAvail is EADDRNOTAVAIL, the same on every architecture that we
// know of here.
const errAddrNotAvail event.Errno = 99

const opConnect = event.OpConnect

const (
	portsNearly = 90 // percent of the range in use: connect() is about to fail
	portsLeast  = 10 // that a range has of which that is said
)

var ephemeralPortExhaustion = Rule{
	Name:  "ephemeral-port-exhaustion",
	Short: "connect() fails, since no local port is left, or is about to",
	Meaning: "connect() found every port of ip_local_port_range in use towards that address and port, and failed with EADDRNOTAVAIL" +
		" before a SYN was sent. Ports are taken for each destination apart, so others still work.",
	When: "One connect() failed so: critical, as requests fail already. 90% of the range are in use towards one address and port: a" +
		" warning, as connect() is about to fail. Where half of these or more are in TIME_WAIT, time-wait-pressure says that.",
	Evidence: []Term{
		{"failed", "calls of connect() that found no port; absent where none has yet"},
		{"ports", "how many there are: the size of ip_local_port_range"},
		{"ports_in_use", "towards the address, as far as was seen, at the last failure, or when they were most"},
		{"states", "which states hold them"},
		{"connects_per_second", "calls of connect() to the address, over the last seconds; absent where one has failed"},
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
	rate           float64 // calls of connect() a second
}

// tick looks for who is about to run out of ports, though not of those in
// TIME_WAIT. A range of which more ports are in use than it has is a new one.
func (w *exhaustionWatcher) tick() {
	for k, d := range w.e.destinations.known {
		held := d.held()
		if held < portsLeast || 2*d.states[tcp.TimeWait] >= held {
			continue
		}
		size := w.e.ports(k.netns).size()
		if size < portsLeast || held > size || held*100 < size*portsNearly {
			continue
		}
		if x := w.find(topProcess(&d.processes), k); x != nil && x.data.failed == 0 && x.data.unsent == 0 && uint64(held) > x.count {
			x.data.held, x.data.states, x.data.rate = held, d.words(), d.connects.rate(w.e.now)
			x.count = uint64(held)
			x.seen(w.e, k.netns, w.e.now)
		}
	}
}

func (w *exhaustionWatcher) wants() wants { return wants{kinds: kindsOf(conn.Ended, conn.Failed)} }

func (w *exhaustionWatcher) change(c *conn.Change) {
	switch {
	case c.Kind == conn.Ended && c.Conn.End == conn.EndUnsent:
		if x := w.fails(w.e.ownerOf(c.Conn), c.Conn.ID, c.Conn.Remote); x != nil {
			x.data.unsent++
			w.note(x, c.Conn.ID, c.Time)
		}
	case c.Kind == conn.Failed && c.Event.Op == opConnect && c.Event.Err == errAddrNotAvail:
		if x := w.fails(w.e.task(&c.Event.Task), c.Event.ID, c.Event.Remote); x != nil {
			x.data.failed += uint64(max(c.Event.Count, 1))
			w.note(x, c.Event.ID, c.Time)
		}
	}
}

func (w *exhaustionWatcher) find(p *process, to destinationKey) *entry[exhaustion] {
	x := w.book.entry(key{who: p, netns: to.netns, at: to.remote}, p)
	if x != nil {
		x.data.at = to.remote
	}
	return x
}

// fails returns the cause of a connect() that found no port.
func (w *exhaustionWatcher) fails(p *process, id event.ID, remote netip.AddrPort) *entry[exhaustion] {
	to := destinationKey{id.NetNS, netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())}
	x := w.find(p, to)
	if x == nil {
		return nil
	}
	if d := w.e.destinations.known[to]; d != nil {
		x.data.held, x.data.states = d.held(), d.words()
		d.exhausted = true
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
	v := (*figures)(&f.Evidence)
	if d.failed == 0 && d.unsent == 0 {
		f.Severity = Warning
		f.Summary = digits(d.held) + " of the " + digits(ports.size()) + " local ports in use towards " + endpoint(d.at) + ": connect() is about to fail"
		f.Cause = "connections to that address hold the ports of ip_local_port_range: " + d.states
		v.count("connects_per_second", int64(d.rate))
	} else {
		f.Severity = Critical
		f.Summary = several(x.count, "connect()", "calls of connect()") + " to " + endpoint(d.at) + " found no local port (EADDRNOTAVAIL)"
		f.Cause = "all ports of ip_local_port_range are taken towards that address"
		if ports.known {
			f.Cause = "all " + digits(ports.size()) + strings.TrimPrefix(f.Cause, "all")
		}
		if d.held > 0 {
			f.Cause += ", " + digits(d.held) + " of them seen: " + d.states
		}
		v.count("failed", int64(x.count))
	}
	if ports.known {
		v.count("ports", int64(ports.size()))
	}
	v.some("ports_in_use", int64(d.held))
	v.word("states", d.states)
	w.e.quote(f, x.key.netns, sysctlPortRange, sysctlReuse)
}

package diagnose

import (
	"net/netip"
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	silentAfter   = 3 * time.Second
	silentGivenUp = time.Second
	silentMany    = 3
)

var connectTimeout = Rule{
	Name:  "connect-timeout",
	Short: "SYNs are not answered",
	Meaning: "Neither a SYN-ACK nor a RST came: a firewall drops the SYN, the host is down, its accept or SYN queue is full, or the way" +
		" back is broken. The kernel sends the SYN again: from Linux 6.5 on after 1, 2, 3, 4 and 5 s (tcp_syn_linear_timeouts), then 7, 11 and so on;" +
		" before that after 1, 3, 7 s and so on. It gives up after tcp_syn_retries; many programs give up earlier themselves.",
	When: "A connect() has no answer for 3 s, when two copies of its SYN or more have gone out; or it failed with ETIMEDOUT or" +
		" EHOSTUNREACH; or its process gave it up after 1 s or more. One or two are information. Three of one process at one address and" +
		" port are a warning.",
	Evidence: append([]Term{
		{"waiting", "calls of connect() without an answer, now"},
		{"timed_out", "those that failed: the kernel gave up, or the network said that the host cannot be reached"},
		{"gave_up", "those that the process gave up"},
		{"late", "those that were answered after 3 s or more"},
		{"connected", "those of any process to the same address that succeeded"},
		{"syns", "SYNs sent again"},
		{"remote", "the address and port"}, {"oldest_ns", "the longest wait"},
		{"tcp_syn_retries", "the sysctl"},
	}, slices.Concat(dropTerms, descriptorTerms)...),
	Advice: "See whether the host is up and the port open from here (a firewall in between, a security group, a route), and on the server" +
		" whether its accept queue is full (tcptrace why there). Give the client a time limit for connect() of a few seconds.",
	Cost:   "With a limit of 1 s or less one lost SYN, or SYN-ACK, already makes a failure; with one of 3 s it takes two.",
	More:   "tcptrace watch --pid PID --kind retransmit,state",
	Limits: "Whether the SYN or its answer was lost is not seen from here.",
	begin: func(e *Engine, r *Rule) watcher {
		w := &connectTimeoutWatcher{e: e, ends: map[*entry[held]]*silence{}}
		w.book = newBook(e, r, w.describe)
		w.stays = newStays(e, tcp.SynSent, silentAfter, w.silent)
		return w
	},
}

type connectTimeoutWatcher struct {
	e     *Engine
	stays stays
	book  book[held]
	ends  map[*entry[held]]*silence
}

type silence struct {
	at     netip.AddrPort
	failed uint64
	gaveUp uint64
	late   uint64
}

// silent finds the cause of a connect() without an answer.
func (w *connectTimeoutWatcher) silent(s *stay) *entry[held] {
	w.e.attempts.fail(s.owner, s.remote, false)
	if s.owner.scanning() {
		return nil
	}
	at := netip.AddrPortFrom(s.remote.Addr().Unmap(), s.remote.Port())
	x := w.book.entry(key{who: s.owner, netns: s.id.NetNS, at: at}, s.owner)
	if x != nil && w.ends[x] == nil {
		w.ends[x] = &silence{at: at}
	}
	return x
}

func (w *connectTimeoutWatcher) wants() wants { return w.stays.wants() }

func (w *connectTimeoutWatcher) change(c *conn.Change) {
	w.stays.ended = nil
	w.stays.change(c)
	x := w.stays.ended
	if x == nil {
		return
	}
	switch end := w.ends[x]; {
	case c.New == tcp.Established || c.New == tcp.SynRecv:
		end.late++
	case c.Conn.End == conn.EndAbandoned:
		end.gaveUp++
	default:
		end.failed++
	}
}

func (w *connectTimeoutWatcher) tick() {
	w.stays.tick()
	w.book.touchAll()
}

func (w *connectTimeoutWatcher) describe(x *entry[held], f *Finding) {
	h, end := &x.data, w.ends[x]
	age := h.age(w.e.now)
	var connected uint64
	if d := w.e.destinations.known[destinationKey{x.key.netns, end.at}]; d != nil {
		connected = d.succeeded
	}
	x.withdrawn = x.key.who.scanning()
	f.Withdrawn = x.withdrawn
	f.Severity = Info
	if x.count >= silentMany {
		f.Severity = Warning
	}
	f.Summary = several(x.count, "connect()", "calls of connect()") + " to " + endpoint(end.at) + " without an answer for up to " +
		span(age) + "; " + digits(end.failed+end.gaveUp) + " failed, " + digits(end.late) + " answered late, " + digits(h.now) + " waiting"
	f.Cause = "nothing answers the SYN: it is dropped on the way, or its answer is, or the host is down"
	if end.at.Addr().IsLoopback() && w.e.overflown[listenPort{x.key.netns, end.at.Port()}] {
		f.Cause = "the listener is on this host, and its queue is full: see accept-queue-overflow"
	}
	v := (*figures)(&f.Evidence)
	v.count("waiting", int64(h.now))
	v.some("timed_out", int64(end.failed))
	v.some("gave_up", int64(end.gaveUp))
	v.some("late", int64(end.late))
	v.count("connected", int64(connected))
	v.some("syns", int64(h.retransmits))
	v.word("remote", endpoint(end.at))
	v.length("oldest", age)
	tellDrops(f, &h.drops, "SYN", "SYNs", x.count+h.retransmits)
	w.e.quote(f, x.key.netns, sysctlSynRetries)
}

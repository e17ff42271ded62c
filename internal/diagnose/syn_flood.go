package diagnose

import (
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	halfOpenAfter    = 2500 * time.Millisecond
	halfOpenMany     = 10
	halfOpenCritical = 1000
)

var synFlood = Rule{
	Name:  "syn-flood",
	Short: "half-open connections that never complete",
	Meaning: "SYNs come, the kernel answers, and the handshake's last ACK does not come: the sources do not exist (a flood), or the way" +
		" back to them is broken. Each half-open connection takes room in the SYN queue until tcp_synack_retries is used up. When the queue is" +
		" full the kernel answers with SYN cookies, or drops SYNs if they are off. The queue is as long as the listener's backlog; where cookies" +
		" are off, three quarters of tcp_max_syn_backlog bound it, too.",
	When: "A handshake is half open for 2.5 s, when one SYN-ACK sent again had no answer either, or the kernel gave up on it. A few are" +
		" usual on a host that the internet can reach, and are information. Ten at once are a warning, and so is a full SYN queue; 1,000 at" +
		" once are critical.",
	Evidence: append([]Term{
		{"now", "half-open for 2.5 s or more, now"},
		{"peak", "the most at one time"},
		{"oldest_ns", "the longest"},
		{"gave_up", "handshakes that the kernel gave up"},
		{"queue_full", "SYNs that met a full queue"},
		{"queue_length", "half-open connections in the queue, at the last of these"},
		{"backlog", "the queue's limit: the less of listen()'s backlog and somaxconn"},
		{"cookies", "connections made from a SYN cookie"},
		{"sources", "addresses that SYNs came from, up to 256"},
		{"peer", "the address with most of them"}, {"endpoint", "the listener"},
		{"tcp_max_syn_backlog", "the sysctl"}, {"tcp_synack_retries", "the sysctl"}, {"tcp_syncookies", "the sysctl; 1: when the queue is full"},
		{"somaxconn", "the sysctl"},
	}, dropTerms...),
	Advice: "Few sources: block them, or mend the way back to them (asymmetric routes, a firewall that drops SYN-ACKs). Many: keep" +
		" net.ipv4.tcp_syncookies=1, with which tcp_max_syn_backlog does not matter; a larger backlog (listen() and net.core.somaxconn) puts" +
		" cookies off for longer; and let what stands in front of the host filter.",
	Cost: "Connections made from a SYN cookie lose window scaling and SACK where the client sends no timestamps; a larger backlog takes" +
		" some 300 bytes of kernel memory for each half-open connection.",
	More:   "tcptrace snapshot --state SYN_RECV",
	Limits: "Requests are seen where the kernel shows their timer, or its function (tcptrace doctor).",
	begin: func(e *Engine, r *Rule) watcher {
		w := &synFloodWatcher{e: e, extra: map[*entry[held]]*synExtra{}}
		w.book = newBook(e, r, w.describe)
		w.stays = newStays(e, tcp.SynRecv, halfOpenAfter, func(s *stay) *entry[held] {
			if s.role == conn.Client {
				return nil // a simultaneous open
			}
			return w.find(s.id.NetNS, s.local)
		})
		return w
	},
}

type synFloodWatcher struct {
	e     *Engine
	stays stays
	book  book[held]
	extra map[*entry[held]]*synExtra
}

type synExtra struct {
	at            netip.AddrPort
	full, cookies uint64
	queue         event.Queue
}

func (w *synFloodWatcher) find(netns uint32, local netip.AddrPort) *entry[held] {
	p := w.e.listener(netns, local.Port())
	x := w.book.entry(key{netns: netns, at: netip.AddrPortFrom(anywhere, local.Port())}, p)
	if x != nil && p != nil {
		x.process = p
	}
	if x != nil && w.extra[x] == nil {
		w.extra[x] = &synExtra{at: local}
	}
	return x
}

func (w *synFloodWatcher) tick() {
	w.stays.tick()
	w.book.touchAll()
}

func (w *synFloodWatcher) wants() wants {
	all := w.stays.wants()
	all.kinds |= kindsOf(conn.QueueFull)
	return all
}

func (w *synFloodWatcher) change(c *conn.Change) {
	w.stays.change(c)
	switch {
	case c.Kind == conn.QueueFull && c.Event.Queue.SYN:
		x := w.find(c.Event.ID.NetNS, c.Event.Local)
		if x == nil {
			return
		}
		w.extra[x].full += uint64(max(c.Event.Count, 1))
		w.extra[x].queue = c.Event.Queue
		if c.Event.Remote.IsValid() {
			x.data.remotes.add(c.Event.Remote.Addr().Unmap())
		}
		x.seen(w.e, c.Event.ID.NetNS, c.Time)
	case c.Kind == conn.Transition && c.Old == tcp.SynRecv && c.New == tcp.Established && c.InStateKnown && c.InState == 0:
		// Made from a cookie: it was never half open here.
		k := key{netns: c.Conn.ID.NetNS, at: netip.AddrPortFrom(anywhere, c.Conn.Local.Port())}
		if x := w.book.entries[k]; x != nil {
			w.extra[x].cookies++
		}
	}
}

func (w *synFloodWatcher) describe(x *entry[held], f *Finding) {
	h, extra := &x.data, w.extra[x]
	age := h.age(w.e.now)
	f.Severity = Info
	switch {
	case h.peak >= halfOpenCritical:
		f.Severity = Critical
	case h.peak >= halfOpenMany, extra.full > 0:
		f.Severity = Warning
	}
	if x.count == 0 {
		f.Count = extra.full
		f.Summary = several(extra.full, "SYN", "SYNs") + " met a full SYN queue at " + endpoint(extra.at)
	} else {
		f.Summary = several(x.count, "handshake", "handshakes") + " at " + endpoint(extra.at) + " never completed by the client, from " +
			several(len(h.remotes.counts), "source", "sources")
	}
	f.Cause = "SYN-ACKs are not answered: the sources do not exist, or do not get them"
	if extra.full > 0 {
		f.Cause += "; the SYN queue was full " + several(extra.full, "time", "times")
	}
	v := (*figures)(&f.Evidence)
	h.evidence(f, age)
	v.some("gave_up", int64(h.ranOut))
	v.some("queue_full", int64(extra.full))
	if extra.full > 0 {
		v.count("queue_length", int64(extra.queue.Length))
		v.count("backlog", int64(extra.queue.Limit))
	}
	v.some("cookies", int64(extra.cookies))
	v.count("sources", int64(len(h.remotes.counts)))
	tellDrops(f, &h.drops, "SYN-ACK", "SYN-ACKs", x.count+h.retransmits)
	w.e.quote(f, x.key.netns, sysctlSynBacklog, sysctlSynAckRetries, sysctlSynCookies, sysctlSomaxconn)
}

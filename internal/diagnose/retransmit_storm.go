package diagnose

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

const (
	stormMany     = 100    // segments sent again in ten seconds
	stormCritical = 10_000 // the same
	stormShare    = 70     // percent that one peer, network or process must have to be the one
	stormRatio    = 1      // percent of all segments sent; below, it is what networks do
	stormSegments = 10_000 // sent, that the ratio is judged by
	maxSuspects   = 4096
)

var retransmitStorm = Rule{
	Name:  "retransmit-storm",
	Short: "retransmits beyond what the traffic explains",
	Meaning: "Segments are lost, or their acknowledgements are, and TCP sends them again. Each timeout halts its connection for 0.2 s or" +
		" more. Who has most of them tells where to look: one peer (its host, its link), one network (the way there), one process (it sends" +
		" to where nobody reads, or in bursts), or all of this host (its link, its queue).",
	When: "100 segments of data or FIN are sent again within ten seconds, and they are 1% or more of all that was sent, as far as that is" +
		" known from connections that ended: a warning. 10,000 within ten seconds are critical. SYNs and SYN-ACKs are left to connect-timeout" +
		" and syn-flood. The narrowest of peer, network and process that has 70% is named.",
	Evidence: []Term{
		{"scope", "peer, network, process or host"},
		{"where", "the address or network"},
		{"segments", "sent again since it began"},
		{"peak_10s", "the most within ten seconds"},
		{"share_percent", "how much of all segments sent again this is"},
		{"rto", "of these, by a timeout"}, {"fast", "by SACK or RACK"}, {"tlp", "tail loss probes"}, {"recovery", "after a timeout"},
		{"episodes", "of loss that are over"},
		{"time_lost_ns", "for how long these were held up, all together"},
		{"lost_data", "episodes in which data was lost"}, {"lost_acks", "episodes in which only acknowledgements were lost or late"},
	},
	Advice: "Peer or network: look at its link and what lies between (mtr, drops of its switch ports). Host: look at this host's own drops" +
		" (ethtool -S, tc -s qdisc, nstat TcpExtTCPTimeouts). Process: see whether it bursts beyond the link's rate; pacing (fq, BBR) helps.",
	Cost:   "fq and BBR change how all connections of the host share the link: try them on one host first.",
	More:   "tcptrace watch --pid PID --kind retransmit",
	Limits: "How much a connection sent is known when it ends; until enough have ended, the number alone decides.",
	begin: func(e *Engine, r *Rule) watcher {
		w := &stormWatcher{e: e, peers: map[netip.Addr]*suspect{}, nets: map[netip.Prefix]*suspect{}, processes: map[*process]*suspect{}}
		w.book = newBook(e, r, w.describe)
		return w
	},
}

type stormWatcher struct {
	e         *Engine
	book      book[storm]
	host      suspect
	peers     map[netip.Addr]*suspect
	nets      map[netip.Prefix]*suspect
	processes map[*process]*suspect
	sent      uint64 // segments, of connections that ended
	again     uint64 // of these, sent again
	cleared   event.Time
}

// A suspect is who may be behind a storm.
type suspect struct {
	recent   window
	total    uint64
	classes  [conn.NumClasses]uint64
	episodes uint64
	lost     time.Duration
	data     uint64
	acks     uint64
	process  tally[*process]
	conns    []event.ID
}

type storm struct {
	who    *suspect
	before uint64 // segments that others who were the same sent again
	where  string
	peak   uint64
	share  uint64
}

func (w *stormWatcher) change(c *conn.Change) {
	switch c.Kind {
	case conn.Retransmitted:
		switch c.Class {
		case conn.ClassSYN, conn.ClassSYNACK, conn.ClassUnsent:
			return
		}
		for _, s := range w.suspects(c) {
			s.add(w.e, c)
		}
	case conn.Episode:
		for _, s := range w.suspects(c) {
			s.episode(c)
		}
	case conn.Ended:
		if c.Conn.HasCounters {
			w.sent += uint64(c.Conn.Counters.SegsOut)
			for _, n := range c.Conn.Retransmits {
				w.again += uint64(n)
			}
		}
	}
}

// suspects returns who a retransmit may be laid to.
func (w *stormWatcher) suspects(c *conn.Change) []*suspect {
	all := []*suspect{&w.host}
	addr := c.Conn.Remote.Addr().Unmap()
	if len(w.peers) < maxSuspects || w.peers[addr] != nil {
		all = append(all, find(w.peers, addr))
	}
	if net := network(addr); len(w.nets) < maxSuspects || w.nets[net] != nil {
		all = append(all, find(w.nets, net))
	}
	if p := w.e.ownerOf(c.Conn); p != nil && (len(w.processes) < maxSuspects || w.processes[p] != nil) {
		all = append(all, find(w.processes, p))
	}
	return all
}

func find[K comparable](m map[K]*suspect, k K) *suspect {
	s := m[k]
	if s == nil {
		s = &suspect{}
		m[k] = s
	}
	return s
}

// network returns the network that an address is taken to be in.
func network(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits) // no error: the length fits
	return p
}

func (s *suspect) add(e *Engine, c *conn.Change) {
	n := max(c.Segments, 1)
	s.recent.add(c.Time, n)
	s.total += uint64(n)
	s.classes[c.Class] += uint64(n)
	if p := e.ownerOf(c.Conn); p != nil {
		s.process.add(p)
	}
	if n := len(s.conns); n < maxConns && (n == 0 || s.conns[n-1] != c.Conn.ID) {
		s.conns = append(s.conns, c.Conn.ID)
	}
}

func (s *suspect) episode(c *conn.Change) {
	s.episodes++
	lost, _ := c.Episode.TimeLost(c.Time)
	s.lost += lost
	switch c.Episode.Lost {
	case conn.LostACKs:
		s.acks++
	case conn.LostData, conn.LostBoth:
		s.data++
	}
}

func (w *stormWatcher) tick() {
	w.forget()
	all := w.host.recent.sum(w.e.now)
	if all < stormMany || w.sent >= stormSegments && w.again*100 < w.sent*stormRatio {
		return
	}
	x, s := w.blame(all)
	if x == nil {
		return
	}
	d := &x.data
	if d.who != nil && d.who != s {
		d.before += d.who.total // it was forgotten meanwhile
	}
	d.who = s
	recent := s.recent.sum(w.e.now)
	d.peak = max(d.peak, recent)
	d.share = recent * 100 / all
	if x.first == 0 {
		x.first = w.e.now
	}
	x.last, x.count, x.conns = w.e.now, d.before+s.total, s.conns
	if p := topProcess(&s.process); p != nil && x.process == nil {
		x.process = p
	}
	w.e.touch(&x.cause)
}

// blame finds the narrowest that has most of what was sent again.
func (w *stormWatcher) blame(all uint64) (*entry[storm], *suspect) {
	enough := func(s *suspect) bool { return s.recent.sum(w.e.now)*100 >= all*stormShare }
	for a, s := range w.peers {
		if enough(s) {
			return w.open(key{at: netip.AddrPortFrom(a, 0), word: "peer"}, a.String(), s)
		}
	}
	for n, s := range w.nets {
		if enough(s) {
			return w.open(key{word: "network-" + n.String()}, n.String(), s)
		}
	}
	for p, s := range w.processes {
		if enough(s) {
			return w.open(key{who: p, word: "process"}, "", s)
		}
	}
	return w.open(key{word: "host"}, "", &w.host)
}

func (w *stormWatcher) open(k key, where string, s *suspect) (*entry[storm], *suspect) {
	x := w.book.entry(k, nil)
	if x != nil {
		x.data.where = where
	}
	return x, s
}

// forget drops, every ten seconds, whom nothing is laid to any more.
func (w *stormWatcher) forget() {
	if w.e.now.Sub(w.cleared) < windowSeconds*time.Second {
		return
	}
	w.cleared = w.e.now
	forget(w.peers, w.e.now)
	forget(w.nets, w.e.now)
	forget(w.processes, w.e.now)
}

func forget[K comparable](m map[K]*suspect, now event.Time) {
	for k, s := range m {
		if s.recent.sum(now) == 0 {
			delete(m, k)
		}
	}
}

func (w *stormWatcher) describe(x *entry[storm], f *Finding) {
	d, s := &x.data, x.data.who
	x.count = d.before + s.total // what came since the last tick included
	f.Count = x.count
	scope := x.key.word
	f.Severity = Warning
	if d.peak >= stormCritical {
		f.Severity = Critical
	}
	who := map[string]string{"peer": "to the peer " + d.where, "process": "by one process", "host": "by the whole host"}[scope]
	if who == "" {
		scope, who = "network", "to the network "+d.where
	}
	f.Summary = fmt.Sprintf("%s sent again %s, up to %s in 10 s", several(x.count, "segment", "segments"), who, digits(d.peak))
	f.Cause = "segments, or their acknowledgements, are lost on the way"
	switch {
	case s.data > 0 && s.acks == 0:
		f.Cause = "segments are lost on the way: the peers needed what was sent again"
	case s.acks > 0 && s.data == 0:
		f.Cause = "acknowledgements are lost or late: the peers had all that was sent again"
	}
	v := (*figures)(&f.Evidence)
	v.word("scope", scope)
	v.word("where", d.where)
	v.count("segments", int64(x.count))
	v.count("peak_10s", int64(d.peak))
	v.count("share_percent", int64(d.share))
	for _, c := range []conn.Class{conn.ClassRTO, conn.ClassFast, conn.ClassTLP, conn.ClassRecovery} {
		v.some(c.String(), int64(s.classes[c]))
	}
	v.some("episodes", int64(s.episodes))
	v.length("time_lost", s.lost)
	v.some("lost_data", int64(s.data))
	v.some("lost_acks", int64(s.acks))
}

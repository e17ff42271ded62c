package diagnose

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/drop"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/storm"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	stormMany     = 100    // segments sent again in ten seconds
	stormCritical = 10_000 // the same
	stormShare    = 70     // percent that one peer, network, process or device must have to be the one
	stormRatio    = 1      // percent of the segments sent; below, it is what networks do
	stormSegments = 10_000 // sent in ten seconds, that the ratio is judged by
)

var retransmitStorm = Rule{
	Name:  "retransmit-storm",
	Short: "retransmits beyond what the traffic explains",
	Meaning: "Segments are lost, or their acknowledgements are, and TCP sends them again. Each timeout halts its connection for 0.2 s or" +
		" more. Who has most of them tells where to look: one peer (its host, its link), one network (the way there), one process (it sends" +
		" in bursts), one device of this host, or all of it. Where this host itself dropped them, the kernel says why, and that is the cause.",
	When: "100 segments of data or FIN are sent again within ten seconds, and they are 1% or more of what the same connections sent, where" +
		" that is known to be 10,000 segments or more: a warning. 10,000 within ten seconds are critical. SYNs and SYN-ACKs are left to" +
		" connect-timeout and syn-flood. The narrowest of peer, network (/24, /64), process and device that has 70% of them is named, else the" +
		" host; it stays the one for as long as it has 70%, and the storm lasts.",
	Evidence: append([]Term{
		{"scope", "peer, network, process, device or host"},
		{"where", "the address, network or device"},
		{"segments", "sent again since it began"},
		{"connections", "that sent these"},
		{"peak_10s", "the most within ten seconds"},
		{"share_percent", "how much of all segments sent again this is"},
		{"sent_10s", "segments that the same connections sent in ten seconds, as far as known: each tells it at its end"},
		{"unnamed", "segments sent again, of the host's, that no connection can be named for: too many took part at once"},
		{"rto", "of these, by a timeout"}, {"fast", "by SACK or RACK"}, {"tlp", "tail loss probes"}, {"recovery", "after a timeout"},
		{"fin", "FINs without data"}, {"unsent", "tries that this host's network layer refused"},
		{"episodes", "of loss that are over; of those that begin some hundreds a second are told apart on each processor"},
		{"time_lost_ns", "for how long these were held up, all together"},
		{"lost_data", "episodes in which data was lost"}, {"lost_acks", "episodes in which only acknowledgements were lost or late"},
	}, dropTerms...),
	Advice: "Peer or network: look at its link and what lies between (mtr, drops of its switch ports). Device or host: look at this host's" +
		" own drops (ethtool -S, tc -s qdisc, nstat TcpExtTCPTimeouts). Process: see whether it bursts beyond the link's rate; pacing (fq," +
		" BBR) helps. Dropped on this host: what the reason says.",
	Cost: "fq and BBR change how all connections of the host share the link: try them on one host first.",
	More: "tcptrace watch --pid PID --kind retransmit",
	Limits: "How much a connection sent is known when it ends; until enough have ended, the number alone decides. A connection's device is" +
		" the one that has its local address.",
	begin: func(e *Engine, r *Rule) watcher {
		w := &stormWatcher{e: e}
		w.storm = storm.New(storm.Options{Device: e.device, Owner: func(c *conn.Connection) event.Task { return e.ownerOf(c).known().Task }})
		w.book = newBook(e, r, w.describe)
		return w
	},
}

type stormWatcher struct {
	e       *Engine
	storm   *storm.Storm
	book    book[stormFacts]
	current *entry[stormFacts] // nil: no storm
	began   event.Time         // it was
	asked   uint32             // the namespace whose devices were asked for last
	askedAt event.Time
}

type stormFacts struct {
	group  *storm.Group
	before uint64 // segments of earlier storms of the same
	peak   uint64
	share  uint64 // as the storm was there last
	sent   uint64
}

func (w *stormWatcher) wants() wants {
	return wants{kindsOf(conn.Dropped, conn.Retransmitted, conn.Crowd, conn.Episode, conn.Ended), statesOf(tcp.Established)}
}

func (w *stormWatcher) change(c *conn.Change) {
	switch {
	case c.Kind == conn.Dropped:
		w.dropped(c.Event)
		return
	case c.Kind == conn.Transition && c.New == tcp.Established:
		// Asked for before it is needed: a storm has no time to find out.
		if netns := c.Conn.ID.NetNS; netns != w.asked || w.e.now.Sub(w.askedAt) >= time.Second {
			w.asked, w.askedAt = netns, w.e.now
			w.e.device(netns, c.Conn.Local.Addr().Unmap())
		}
	}
	w.storm.Add(c)
}

const flagSYN = 2 // of TCP

// dropped counts a packet for who sends again because of it: the sender of data
// or a FIN, or whom an ACK was for.
func (w *stormWatcher) dropped(ev *event.Event) {
	if ev.Packet.Flags&flagSYN != 0 || drop.KindOf(ev.Reason) == drop.Aftermath {
		return
	}
	m, own := w.e.missed(ev), ev.Packet.Bytes > 0 || ev.Packet.Flags&flagFIN != 0
	of, at := m.sent, m.sender
	if !own {
		of, at = m.received, m.receiver
	}
	if of.id.Cookie == 0 {
		return
	}
	o := storm.Origin{NetNS: of.id.NetNS, Local: at.local, Remote: at.remote, Process: of.process.known().Task}
	w.storm.Drop(o, ev.Time, ev.Reason, ev.ID.NetNS, own, packets(ev))
}

func (w *stormWatcher) tick() {
	g := w.storm.Narrowest(w.e.now, stormShare)
	if w.current != nil {
		now := w.storm.Look(w.current.data.group, w.e.now)
		if storming(now) && now.Share >= stormShare {
			g = now // for as long as it can be the one
		}
	}
	if g == nil || !storming(g) {
		w.current = nil
		return
	}
	if x := w.find(g); x != nil {
		w.enter(x)
		w.update(x, g)
	}
}

// storming reports whether it is more than networks do.
func storming(g *storm.Group) bool {
	return g.Recent >= stormMany && (g.Sent < stormSegments || g.Recent*100 >= g.Sent*stormRatio)
}

// find returns the cause that a group stands for.
func (w *stormWatcher) find(g *storm.Group) *entry[stormFacts] {
	var k key
	var p *process
	switch g.Scope {
	case storm.Peer:
		k = key{netns: g.NetNS, at: netip.AddrPortFrom(g.Peer, 0), word: "peer"}
	case storm.Network:
		k = key{netns: g.NetNS, word: "network-" + g.Network.String()}
	case storm.Process:
		p = w.e.task(&g.Process)
		k = key{who: p, word: "process"}
	case storm.Device:
		k = key{netns: g.NetNS, word: "device-" + g.Device}
	case storm.Host:
		k = key{word: "host"}
	}
	return w.book.entry(k, p)
}

// enter makes x the storm's. One that turns out to be wider than what was told of
// it a moment ago is that no more.
func (w *stormWatcher) enter(x *entry[stormFacts]) {
	if w.current == x {
		return
	}
	if w.current != nil && w.e.now.Sub(w.began) < 2*storm.Window {
		w.current.withdrawn = true
		w.e.touch(&w.current.cause)
	} else {
		w.began = w.e.now
	}
	w.current, x.withdrawn = x, false
}

func (w *stormWatcher) update(x *entry[stormFacts], g *storm.Group) {
	d := &x.data
	if d.group != g {
		if d.group != nil {
			d.before += d.group.Segments
		}
		d.group = g
	}
	d.peak, d.share, d.sent = max(d.peak, g.Recent), g.Share, g.Sent
	if x.first == 0 {
		x.seen(w.e, g.Sample.NetNS, g.First)
	}
	x.seen(w.e, g.Sample.NetNS, w.e.now)
	x.spread = x.spread || g.Scope == storm.Host
	x.count, x.conns = d.before+g.Segments, g.Conns
	if owner := w.storm.Owner(g, stormShare); owner.Known() {
		x.process = w.e.task(&owner)
	}
	if g.Scope == storm.Peer {
		x.peer = w.e.peers.process(g.Sample.NetNS, g.Sample.Local, g.Sample.Remote)
	}
}

var stormAdvice = map[storm.Scope]string{
	storm.Peer:    "Look at the peer's link and host, and at what lies between (mtr, drops of its switch port; tcptrace why there).",
	storm.Network: "Look at what lies on the way to that network (mtr to several of its addresses): what they have in common loses.",
	storm.Process: "Its peers lie in several networks. See whether the process bursts beyond the link's rate; pacing (fq, BBR, SO_MAX_PACING_RATE) helps.",
	storm.Device:  "Look at that device and its link: ethtool -S, tc -s qdisc, ip -s link, the switch port.",
	storm.Host:    "Look at what all devices of this host have in common: its processors (softnet_stat), its queues (tc -s qdisc), its uplink or hypervisor.",
}

func (w *stormWatcher) describe(x *entry[stormFacts], f *Finding) {
	d, g := &x.data, x.data.group
	x.count = d.before + g.Segments // what came since the last tick included
	f.Count = x.count
	f.Severity = Warning
	if d.peak >= stormCritical {
		f.Severity = Critical
	}
	who, where := "by the whole host", ""
	switch g.Scope {
	case storm.Peer:
		where = g.Peer.String()
		who = "to the peer " + where
	case storm.Network:
		where = g.Network.String()
		who = "to the network " + where
	case storm.Process:
		who = "by one process"
	case storm.Device:
		where = g.Device
		who = "by the device " + where
	}
	f.Summary = fmt.Sprintf("%s sent again %s, up to %s in 10 s", several(x.count, "segment", "segments"), who, digits(d.peak))
	f.Cause, f.Advice = stormCause(g), stormAdvice[g.Scope]
	if g.Scope != storm.Process {
		f.Cost = ""
	}
	v := (*figures)(&f.Evidence)
	v.word("scope", g.Scope.String())
	v.word("where", where)
	v.count("segments", int64(x.count))
	v.some("connections", int64(g.Connections))
	v.count("peak_10s", int64(d.peak))
	v.count("share_percent", int64(d.share))
	v.some("sent_10s", int64(d.sent))
	v.some("unnamed", int64(g.Unnamed))
	for _, c := range []conn.Class{conn.ClassRTO, conn.ClassFast, conn.ClassTLP, conn.ClassRecovery, conn.ClassFIN, conn.ClassUnsent} {
		v.some(c.String(), int64(g.Classes[c]))
	}
	v.some("episodes", int64(g.Episodes))
	v.length("time_lost", g.TimeLost)
	v.some("lost_data", int64(g.LostData+g.LostBoth))
	v.some("lost_acks", int64(g.LostACKs))
	tellDrops(f, &g.Drops, "segment", "segments", g.Segments)
}

// stormCause says what is lost, as far as the episodes tell.
func stormCause(g *storm.Group) string {
	data, acks := g.LostData+g.LostBoth, g.LostACKs
	switch {
	case data > 0 && acks == 0:
		return "segments are lost on the way: the peers needed what was sent again"
	case acks > 0 && data == 0:
		return "acknowledgements are lost or late: the peers had all that was sent again"
	case data > 0 && acks > 0:
		return "segments are lost on the way (" + several(data, "time", "times") + "), and acknowledgements are lost or late (" +
			several(acks, "time", "times") + ")"
	}
	return "segments, or their acknowledgements, are lost on the way"
}

package diagnose

import (
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/drop"
	"github.com/tcptrace/tcptrace/internal/event"
)

// maxDropped bounds the connections whose dropped packets are counted.
const maxDropped = 1 << 16

// drops counts the packets that this host itself dropped, by the connections on
// it that they were of: a firewall behind a SYN that has no answer, a full
// buffer behind a segment that is sent again.
type drops struct {
	known map[event.ID]*dropped
	ring  []event.ID // in the order in which they became known
	next  int
}

// A dropped is what was dropped of one connection, and who wants to hear of it.
type dropped struct {
	tally drop.Tally
	told  []*drop.Tally
}

func (d *drops) init() { d.known = map[event.ID]*dropped{} }

// A miss is a packet that this host dropped: the ends that sent it, and that it
// was sent to, as far as they are on this host.
type miss struct {
	sender, receiver           flow
	sent, received             end
	senderKnown, receiverKnown bool
}

// missed finds the ends of a packet that was dropped.
func (e *Engine) missed(ev *event.Event) (m miss) {
	m.receiver = flowOf(ev.ID.NetNS, ev.Local, ev.Remote)
	if ev.Packet.Outgoing {
		m.receiver = m.receiver.swapped()
	}
	m.sender = m.receiver.swapped()
	m.sent, m.senderKnown = e.peers.end(m.sender)
	m.received, m.receiverKnown = e.peers.end(m.receiver)
	return m
}

// change counts a packet for the connections that miss it.
func (d *drops) change(e *Engine, ev *event.Event) {
	if drop.KindOf(ev.Reason) == drop.Aftermath {
		return
	}
	m := e.missed(ev)
	if m.senderKnown {
		d.add(m.sent.id, ev, true)
	}
	if m.receiverKnown {
		d.add(m.received.id, ev, false)
	}
}

func (d *drops) add(id event.ID, ev *event.Event, own bool) {
	x, n := d.of(id), packets(ev)
	x.tally.Add(ev.Reason, ev.ID.NetNS, own, n)
	for _, t := range x.told {
		t.Add(ev.Reason, ev.ID.NetNS, own, n)
	}
}

// packets returns how many ev tells of.
func packets(ev *event.Event) uint64 { return uint64(max(ev.Count, 1)) }

// of returns what was dropped of a connection. Where there are too many, the
// one that has been known for longest is forgotten.
func (d *drops) of(id event.ID) *dropped {
	if x := d.known[id]; x != nil {
		return x
	}
	if len(d.ring) < maxDropped {
		d.ring = append(d.ring, id)
	} else {
		delete(d.known, d.ring[d.next])
		d.ring[d.next] = id
		d.next = (d.next + 1) % maxDropped
	}
	x := &dropped{}
	d.known[id] = x
	return x
}

// follow adds to t what was dropped of a connection, and from now on what will
// be. It is to be called once for both.
func (d *drops) follow(id event.ID, t *drop.Tally) {
	if id.Cookie == 0 {
		return
	}
	x := d.of(id)
	t.Join(&x.tally)
	x.told = append(x.told, t)
}

// over forgets a connection that has ended.
func (d *drops) over(c *conn.Change) { delete(d.known, c.Conn.ID) }

// What the rules about packets that have no answer have in common.
var dropTerms = []Term{
	{"dropped", "of the packets that these connections sent, those that this host itself dropped: as they left, or as they came to the other" +
		" end, where that is on this host too"},
	{"dropped_answers", "likewise of the packets sent to them"},
	{"drop_reason", "the kernel's name of why it dropped most of these (enum skb_drop_reason)"},
	{"drop_netns", "the network namespace where that was"},
}

// tellDrops puts into a finding what this host dropped of its packets, which are
// called many (one: one) and were so many in all. Where it is half of them or
// more, that is the cause, and the advice is about it.
func tellDrops(f *Finding, t *drop.Tally, one, many string, all uint64) {
	reason, netns, n := t.Top()
	if n == 0 {
		return
	}
	kind := drop.KindOf(reason)
	what := ""
	if t.Own > 0 {
		what = several(t.Own, one, many)
	}
	if t.Answers > 0 {
		if what != "" {
			what += " and "
		}
		what += several(t.Answers, "answer", "answers")
	}
	most := reason
	if n < t.Total() {
		most = "most by " + reason
	}
	what += " dropped on this host (" + most + ")"
	if 2*t.Total() >= all {
		f.Cause = what + ": " + kind.Who()
		f.Advice, f.Cost = kind.Advice(), ""
	} else {
		f.Cause += "; " + what
	}
	v := (*figures)(&f.Evidence)
	v.some("dropped", int64(t.Own))
	v.some("dropped_answers", int64(t.Answers))
	v.word("drop_reason", reason)
	v.some("drop_netns", int64(netns))
}

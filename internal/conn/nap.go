package conn

import (
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A host may have a million connections, of which few do anything. What is known
// of one that does nothing is kept as a nap: a quarter of a record, and without
// pointers. A record of which more is to be known than a nap has room for stays
// as it is.
type nap struct {
	cookie        uint64
	local, remote [16]byte
	begins        [inlineSpans]event.Time // of the spans; each ends where the next begins
	accepted      event.Time
	netns         uint32
	losses        uint32
	owner, closer uint32 // in index.people; 0: not known
	burden        uint32 // in index.burdens; 0: none
	sent          uint32 // sequence numbers: see event.ISNs
	received      uint32
	localPort     uint16
	remotePort    uint16
	flags         napFlags
	states        [inlineSpans]uint8 // and spanFlags
	spans         uint8
	families      uint8 // of local, and of remote in the upper four bits
	role          Role
	gapFrom       tcp.State
	gapTo         tcp.State
	gapSpan       uint8
}

type napFlags uint16

const (
	napNamed napFlags = 1 << iota
	napMini
	napAdopted
	napReborn
	napSeen
	napPaired
	napOpenedKnown
	napHasCounters
	napComplete
	napGapOpen
	napGapComplete
	napIdle
	napSentKnown
	napReceivedKnown
)

// What is in a nap's states beside the state.
const (
	spanState      = 0x0f
	spanBeginKnown = 0x10
	spanEndUnknown = 0x20
)

// A burden is what few connections have before they end: counters, and what was
// sent again.
type burden struct {
	counters           event.Counters
	retransmits        [NumClasses]uint32
	episodes, spurious uint32
	episodeTime        time.Duration
	episodeTimeAtLeast bool
	total              uint32
}

func (r *record) burden() burden {
	return burden{
		counters: r.Counters, retransmits: r.Retransmits, episodes: r.Episodes, spurious: r.SpuriousEpisodes,
		episodeTime: r.EpisodeTime, episodeTimeAtLeast: r.EpisodeTimeAtLeast, total: r.total,
	}
}

// restful reports whether r can be a nap: nothing of it waits, and nothing is
// out of the ordinary.
func (r *record) restful() bool {
	if r.dead || r.byTuple || r.held || r.unwanted || r.listening || r.doubt != nil || r.episode != nil {
		return false
	}
	if r.resetSent || r.resetReceived || r.resetSince != 0 || r.missed != 0 || r.gap.cut != 0 || r.gap.span > 255 {
		return false
	}
	if r.Closed != 0 || r.End != 0 || r.Err != 0 || r.ResetCause != 0 || r.ResetInferred || r.SpansCut != 0 {
		return false
	}
	if len(r.Spans) == 0 || len(r.Spans) > inlineSpans || r.Local.Addr().Zone() != "" || r.Remote.Addr().Zone() != "" {
		return false
	}
	last := &r.Spans[len(r.Spans)-1]
	return r.Opened == r.Spans[0].Begin && r.State == last.State && r.Since == last.Begin && r.SinceKnown == last.BeginKnown &&
		last.End == 0 && !last.EndUnknown
}

// Families of a nap's addresses.
const (
	noFamily = iota
	family4
	family4In6
	family6
)

func packAddress(a netip.AddrPort, to *[16]byte) (family uint8, port uint16) {
	ip := a.Addr()
	if !ip.IsValid() {
		return noFamily, a.Port()
	}
	*to = ip.As16()
	switch {
	case ip.Is4():
		return family4, a.Port()
	case ip.Is4In6():
		return family4In6, a.Port()
	}
	return family6, a.Port()
}

func unpackAddress(from *[16]byte, family uint8, port uint16) netip.AddrPort {
	switch family {
	case noFamily:
		return netip.AddrPortFrom(netip.Addr{}, port)
	case family4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(from[12:])), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(*from), port)
}

func (f *napFlags) set(flag napFlags, on bool) {
	if on {
		*f |= flag
	}
}

func (f napFlags) has(flag napFlags) bool { return f&flag != 0 }

// pack writes down what is known of r, which is restful.
func (x *index) pack(r *record, n *nap) {
	*n = nap{
		cookie: r.ID.Cookie, netns: r.ID.NetNS, losses: r.losses, accepted: r.Accepted, role: r.Role,
		gapFrom: r.gap.from, gapTo: r.gap.to, gapSpan: uint8(r.gap.span), spans: uint8(len(r.Spans)),
		sent: r.ISNs.Sent.Seq, received: r.ISNs.Received.Seq,
		owner: x.people.number(&r.Owner), closer: x.people.number(&r.Closer),
	}
	local, port := packAddress(r.Local, &n.local)
	n.localPort = port
	remote, port := packAddress(r.Remote, &n.remote)
	n.remotePort = port
	n.families = local | remote<<4
	for i := range r.Spans {
		s := &r.Spans[i]
		n.begins[i], n.states[i] = s.Begin, uint8(s.State)
		if s.BeginKnown {
			n.states[i] |= spanBeginKnown
		}
		if s.EndUnknown {
			n.states[i] |= spanEndUnknown
		}
	}
	f := &n.flags
	f.set(napNamed, r.named)
	f.set(napMini, r.mini)
	f.set(napAdopted, r.adopted)
	f.set(napReborn, r.reborn)
	f.set(napSeen, r.seen)
	f.set(napPaired, r.paired)
	f.set(napOpenedKnown, r.OpenedKnown)
	f.set(napHasCounters, r.HasCounters)
	f.set(napComplete, r.Complete)
	f.set(napGapOpen, r.gap.open)
	f.set(napGapComplete, r.gap.complete)
	f.set(napIdle, r.idle)
	f.set(napSentKnown, r.ISNs.Sent.Known)
	f.set(napReceivedKnown, r.ISNs.Received.Known)
	if b := r.burden(); r.HasCounters || b != (burden{}) {
		n.burden = x.burdens.take()
		*x.burdens.at(n.burden) = b
	}
}

// unpack fills in r, which is empty, and gives back what n holds.
func (x *index) unpack(n *nap, r *record) {
	f := n.flags
	r.losses = n.losses
	r.named, r.mini, r.adopted, r.reborn = f.has(napNamed), f.has(napMini), f.has(napAdopted), f.has(napReborn)
	r.seen, r.paired, r.idle = f.has(napSeen), f.has(napPaired), f.has(napIdle)
	r.ISNs.Sent = event.ISN{Seq: n.sent, Known: f.has(napSentKnown)}
	r.ISNs.Received = event.ISN{Seq: n.received, Known: f.has(napReceivedKnown)}
	r.gap = gap{
		open: f.has(napGapOpen), complete: f.has(napGapComplete), from: n.gapFrom, to: n.gapTo, span: uint16(n.gapSpan),
	}
	r.ID = event.ID{NetNS: n.netns, Cookie: n.cookie}
	r.Local = unpackAddress(&n.local, n.families&0xf, n.localPort)
	r.Remote = unpackAddress(&n.remote, n.families>>4, n.remotePort)
	r.Role, r.Accepted = n.role, n.accepted
	r.OpenedKnown, r.HasCounters, r.Complete = f.has(napOpenedKnown), f.has(napHasCounters), f.has(napComplete)
	r.Spans = r.firstSpans[:n.spans]
	for i := range r.Spans {
		s := &r.Spans[i]
		s.State, s.Begin = tcp.State(n.states[i]&spanState), n.begins[i]
		s.BeginKnown, s.EndUnknown = n.states[i]&spanBeginKnown != 0, n.states[i]&spanEndUnknown != 0
		if i > 0 {
			r.Spans[i-1].End = s.Begin
		}
	}
	last := &r.Spans[len(r.Spans)-1]
	r.Opened = r.Spans[0].Begin
	r.State, r.Since, r.SinceKnown = last.State, last.Begin, last.BeginKnown
	r.Owner, r.Closer = x.people.take(n.owner), x.people.take(n.closer)
	if n.burden != 0 {
		b := x.burdens.at(n.burden)
		r.Counters, r.Retransmits, r.Episodes, r.SpuriousEpisodes = b.counters, b.retransmits, b.episodes, b.spurious
		r.EpisodeTime, r.EpisodeTimeAtLeast, r.total = b.episodeTime, b.episodeTimeAtLeast, b.total
		x.burdens.give(n.burden)
	}
}

// people are the processes that naps name, each once.
type people struct {
	numbers map[Owner]uint32
	known   slab[person]
	last    uint32 // the number looked for last: it is often the same again
}

type person struct {
	owner Owner
	naps  uint32 // that name it
}

// number counts one more nap that names o, and returns its number; 0 for none.
func (p *people) number(o *Owner) uint32 {
	if *o == (Owner{}) {
		return 0
	}
	if p.last != 0 {
		if at := p.known.at(p.last); at.naps > 0 && at.owner == *o {
			at.naps++
			return p.last
		}
	}
	n := p.numbers[*o]
	if n == 0 {
		if p.numbers == nil {
			p.numbers = map[Owner]uint32{}
		}
		n = p.known.take()
		*p.known.at(n) = person{owner: *o}
		p.numbers[*o] = n
	}
	p.known.at(n).naps++
	p.last = n
	return n
}

// take returns the owner of a number, which one nap fewer names.
func (p *people) take(n uint32) Owner {
	if n == 0 {
		return Owner{}
	}
	at := p.known.at(n)
	owner := at.owner
	if at.naps--; at.naps == 0 {
		delete(p.numbers, owner)
		*at = person{}
		p.known.give(n)
	}
	return owner
}

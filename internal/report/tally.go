package report

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// maxParties bounds the processes, and the peers, that are counted apart. Those
// for which there is no room are counted together.
const maxParties = 8192

// A tally counts what connections came to. It counts each one at its end, or at
// the end of the trace.
type tally struct {
	total     party
	ends      map[conn.End]uint64
	causes    [2]map[conn.ResetCause]uint64 // resets received, sent
	processes map[uint32]*party             // by pid
	peers     map[netip.Addr]*party
	// Of the connections for which there was no room in the two above.
	otherProcesses, otherPeers party

	spaces map[uint32]uint64 // connections by network namespace
	lost   map[event.Kind]*loss
	more   uint64 // RSTs that the kernel side only counted
}

// A party is what the connections of a process, or with a peer, came to.
type party struct {
	owner    conn.Owner // of a process
	peer     netip.Addr
	services map[uint16]uint64 // of a peer: ports of its that we connected to; a few

	connections, open     uint64
	clients, servers      uint64
	failed                uint64 // ended otherwise than by two FINs
	resetsSent, resetsGot uint64 // connections that a RST ended
	resegments            uint64
	bytesSent, bytesGot   uint64
	rtt                   uint32 // µs, the largest smoothed one
}

// A loss is what could not be handed over, of one kind.
type loss struct {
	count    uint64
	from, to event.Time
}

const maxServices = 8

func newTally() tally {
	return tally{
		ends:      map[conn.End]uint64{},
		causes:    [2]map[conn.ResetCause]uint64{{}, {}},
		processes: map[uint32]*party{},
		peers:     map[netip.Addr]*party{},
		spaces:    map[uint32]uint64{},
		lost:      map[event.Kind]*loss{},
	}
}

func (t *tally) show(c *conn.Change) {
	switch c.Kind {
	case conn.Lost:
		t.lose(c)
	case conn.ResetSent:
		t.causes[1][c.Reset.Cause]++
	case conn.ResetReceived:
		t.causes[0][c.Reset.Cause]++
	case conn.Crowd:
		if c.Event.Kind == event.ResetMore {
			t.more += uint64(c.Event.Count)
		}
	case conn.Ended:
		if !c.Conn.Listener() {
			t.end(c.Conn)
		}
	}
}

func (t *tally) lose(c *conn.Change) {
	l := t.lost[c.Event.Loss.Kind]
	if l == nil {
		l = &loss{from: c.Event.Loss.From}
		t.lost[c.Event.Loss.Kind] = l
	}
	l.count += c.Event.Loss.Count
	l.from, l.to = min(l.from, c.Event.Loss.From), max(l.to, c.Time)
}

func (t *tally) end(c *conn.Connection) {
	t.total.add(c)
	if c.Closed != 0 {
		t.ends[c.End]++
	}
	if len(t.spaces) < maxParties || t.spaces[c.ID.NetNS] > 0 {
		t.spaces[c.ID.NetNS]++
	}
	t.process(c).add(c)
	t.peer(c).add(c)
}

func (t *tally) process(c *conn.Connection) *party {
	pid := c.Owner.Task.PID
	p := t.processes[pid]
	if p == nil {
		if len(t.processes) >= maxParties {
			return &t.otherProcesses
		}
		p = &party{}
		t.processes[pid] = p
	}
	p.owner = c.Owner
	return p
}

func (t *tally) peer(c *conn.Connection) *party {
	addr := c.Remote.Addr().Unmap()
	p := t.peers[addr]
	if p == nil {
		if len(t.peers) >= maxParties {
			return &t.otherPeers
		}
		p = &party{peer: addr, services: map[uint16]uint64{}}
		t.peers[addr] = p
	}
	if c.Role == conn.Client && (len(p.services) < maxServices || p.services[c.Remote.Port()] > 0) {
		p.services[c.Remote.Port()]++
	}
	return p
}

func (p *party) add(c *conn.Connection) {
	p.connections++
	switch c.Role {
	case conn.Client:
		p.clients++
	case conn.Server:
		p.servers++
	}
	switch {
	case c.Closed == 0:
		p.open++
	case c.End != conn.EndFIN && c.End != conn.EndUnknown:
		p.failed++
	}
	switch c.End {
	case conn.EndResetSent:
		p.resetsSent++
	case conn.EndResetReceived, conn.EndRefused:
		p.resetsGot++
	}
	for class, n := range c.Retransmits {
		if conn.Class(class) != conn.ClassUnsent {
			p.resegments += uint64(n)
		}
	}
	if c.HasCounters {
		p.bytesSent += c.Counters.BytesSent
		p.bytesGot += c.Counters.BytesReceived
		p.rtt = max(p.rtt, c.Counters.SRTTus)
	}
}

// namespaces returns the network namespaces, those with most connections first.
func (t *tally) namespaces() []uint32 {
	return slices.SortedFunc(maps.Keys(t.spaces), func(a, b uint32) int {
		return cmp.Or(-cmp.Compare(t.spaces[a], t.spaces[b]), cmp.Compare(a, b))
	})
}

// sortedParties returns parties, those with most connections first.
func sortedParties[K comparable](m map[K]*party) []*party {
	return slices.SortedFunc(maps.Values(m), func(a, b *party) int {
		return cmp.Or(
			-cmp.Compare(a.connections, b.connections), cmp.Compare(a.owner.Task.PID, b.owner.Task.PID),
			a.peer.Compare(b.peer),
		)
	})
}

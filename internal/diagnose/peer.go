package diagnose

import (
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	maxPeers = 1 << 17 // ends of connections that are open
	maxOver  = 1 << 13 // and that are over, whose peer may have something to say yet
)

// A flow is one end of a connection, as its addresses tell.
type flow struct {
	local, remote netip.AddrPort
	netns         uint32 // of loopback addresses, which each namespace has
}

func flowOf(netns uint32, local, remote netip.AddrPort) flow {
	f := flow{
		local:  netip.AddrPortFrom(local.Addr().Unmap(), local.Port()),
		remote: netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()),
	}
	if f.local.Addr().IsLoopback() || f.remote.Addr().IsLoopback() {
		f.netns = netns
	}
	return f
}

func (f flow) swapped() flow { return flow{f.remote, f.local, f.netns} }

// A flowKey is a flow without pointers: a map of them costs half as much, and
// nothing to the collector of garbage.
type flowKey struct {
	local, remote         [16]byte
	netns                 uint32
	localPort, remotePort uint16
}

func (f flow) key() flowKey {
	return flowKey{f.local.Addr().As16(), f.remote.Addr().As16(), f.netns, f.local.Port(), f.remote.Port()}
}

// An end is what is known of one end of a connection.
type end struct {
	at      flowKey
	id      event.ID
	process *process
	state   tcp.State
	role    conn.Role
	over    bool
	gone    bool // forgotten
}

// peers knows the ends of connections by their addresses, so that an end finds
// its peer on the same host.
type peers struct {
	ends map[flowKey]*end
	last [256]met // those met last, by the connection's number: its changes come in bursts
	over []*end   // a ring
	next int
}

// A met is an end by what its connection says of itself.
type met struct {
	netns         uint32
	local, remote netip.AddrPort
	end           *end
}

// is reports whether m is the end of c. One that is not over is that of its addresses.
func (m *met) is(c *conn.Connection) bool {
	return m.end != nil && !m.end.over && m.netns == c.ID.NetNS && m.local == c.Local && m.remote == c.Remote
}

func (p *peers) init() { p.ends = map[flowKey]*end{} }

func (p *peers) change(e *Engine, c *conn.Change) {
	cn := c.Conn
	if cn.Listener() || !cn.Local.IsValid() || cn.Local.Port() == 0 || cn.Remote.Port() == 0 {
		return
	}
	switch c.Kind {
	case conn.Transition, conn.Corrected, conn.Found, conn.Owned, conn.Ended:
	default:
		return
	}
	m := &p.last[cn.Number%uint32(len(p.last))]
	if !m.is(cn) {
		x := p.meet(cn)
		if x == nil {
			return
		}
		*m = met{cn.ID.NetNS, cn.Local, cn.Remote, x}
	}
	x := m.end
	if owner := e.ownerOf(cn); owner != nil {
		x.process = owner
	}
	x.id, x.state, x.role = cn.ID, cn.State, cn.Role
	if c.Kind == conn.Ended && !x.over {
		x.over = true
		p.retire(x)
	}
}

// meet returns the end of c, nil where there is none and no room for it.
func (p *peers) meet(c *conn.Connection) *end {
	at := flowOf(c.ID.NetNS, c.Local, c.Remote).key()
	x := p.ends[at]
	switch {
	case x == nil && len(p.ends) >= maxPeers:
		return nil
	case x == nil:
		x = &end{at: at}
		p.ends[at] = x
	case x.over && c.Closed == 0:
		*x = end{at: at} // another connection with the same addresses
	}
	return x
}

// retire forgets the end that was over for longest, unless another has its
// addresses.
func (p *peers) retire(x *end) {
	if len(p.over) < maxOver {
		p.over = append(p.over, x)
		return
	}
	if old := p.over[p.next]; old.over && !old.gone {
		old.gone = true
		delete(p.ends, old.at)
	}
	p.over[p.next] = x
	p.next = (p.next + 1) % maxOver
}

// end returns the end of a connection, where that is on this host and not over.
func (p *peers) end(of flow) (end, bool) {
	x := p.ends[of.key()]
	if x == nil {
		return end{}, false
	}
	return *x, !x.over
}

// process returns the process at the other end of a connection, where that is
// on this host.
func (p *peers) process(netns uint32, local, remote netip.AddrPort) *process {
	if x := p.ends[flowOf(netns, local, remote).swapped().key()]; x != nil {
		return x.process
	}
	return nil
}

package diagnose

import (
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	deadIdle   = 5 * time.Second // that a connection outlives its other end
	deadUnsure = time.Second     // that a sweep may take

	defaultKeepalive = 7200 // the kernel's, in seconds (TCP_KEEPALIVE_TIME)
)

// A left connection may be one whose other end, which was over at a time, did
// not tell it; or that has heard nothing since.
type left struct {
	flow  flow
	id    event.ID
	at    event.Time
	since event.Time
}

func (l *left) connection(role conn.Role, p *process) *conn.Connection {
	return &conn.Connection{ID: l.id, Local: l.flow.local, Remote: l.flow.remote, Role: role, Owner: p.known()}
}

// leave notes that the other end of a connection is over. If it is on this host
// and established still, a FIN or RST should reach it soon.
func (w *deadPeerWatcher) leave(c *conn.Change) {
	at := flowOf(c.Conn.ID.NetNS, c.Conn.Local, c.Conn.Remote).swapped()
	if other, ok := w.e.peers.end(at); ok && other.state == tcp.Established && len(w.left) < maxDying {
		w.left = append(w.left, left{flow: at, id: other.id, at: c.Time})
	}
}

// rest takes in for how long a connection has heard nothing. Whether its peer is
// on this host, and well, is known when the sweep has found that, too.
func (w *deadPeerWatcher) rest(c *conn.Change) {
	cn := c.Conn
	patience := time.Duration(w.e.number(cn.ID.NetNS, sysctlKeepaliveTime, defaultKeepalive)) * time.Second
	if c.Event.KeepAlive || c.Event.Idle < patience || cn.State != tcp.Established {
		w.acquit(cn.ID)
		return
	}
	if d := w.dying[cn.ID]; d != nil && d.sign != unasked || len(w.unsure) >= maxDying {
		return
	}
	w.unsure = append(w.unsure, left{
		flow: flowOf(cn.ID.NetNS, cn.Local, cn.Remote), id: cn.ID, at: c.Time, since: c.Time.Add(-c.Event.Idle),
	})
}

// acquit takes back that a connection was suspected: it was heard of, or closes.
func (w *deadPeerWatcher) acquit(id event.ID) {
	d := w.dying[id]
	if d == nil || d.sign != unasked {
		return
	}
	delete(w.dying, id)
	x := d.of
	x.data.now[unasked]--
	x.count--
	x.conns = slices.DeleteFunc(slices.Clone(x.conns), func(known event.ID) bool { return known == id })
	x.withdrawn = x.count == 0
	w.e.touch(&x.cause)
}

func (w *deadPeerWatcher) tick() {
	w.left = w.ripe(w.left, deadIdle, w.outlived)
	w.unsure = w.ripe(w.unsure, deadUnsure, w.suspect)
}

// ripe hands over those of a list that have been in it for long enough, and
// returns the others.
func (w *deadPeerWatcher) ripe(list []left, after time.Duration, handle func(*left)) []left {
	n := 0
	for ; n < len(list) && w.e.now.Sub(list[n].at) >= after; n++ {
		handle(&list[n])
	}
	return slices.Delete(list, 0, n)
}

// suspect counts a connection that idles without keepalive, unless its other end
// is on this host.
func (w *deadPeerWatcher) suspect(l *left) {
	this, ok := w.e.peers.end(l.flow)
	if !ok || this.id != l.id || this.state != tcp.Established {
		return
	}
	if _, here := w.e.peers.end(l.flow.swapped()); here {
		return
	}
	role := this.role
	if taken := w.e.ports(l.id.NetNS); role == conn.RoleUnknown && taken.has(l.flow.remote.Port()) && !taken.has(l.flow.local.Port()) {
		role = conn.Server // as far as ports tell: of one older than the trace nobody knows
	}
	w.count(l.connection(role, this.process), l.since, w.e.now, unasked)
}

// outlived counts a connection that has not learnt that its other end is over,
// if that is certain: no event was lost meanwhile, and no other socket has taken
// the other end's place, as where a process moves.
func (w *deadPeerWatcher) outlived(l *left) {
	this, ok := w.e.peers.end(l.flow)
	if !ok || this.id != l.id || this.state != tcp.Established || w.e.lostSince(l.at) {
		return
	}
	if _, again := w.e.peers.end(l.flow.swapped()); again {
		return
	}
	w.count(l.connection(this.role, this.process), l.at, w.e.now, idle)
}

package conn

import (
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// resetSent handles a RST that this host sent. close() reports its RST after
// the connection's CLOSE, which waits for it: see doubt.
func (t *Tracker) resetSent(ev *event.Event, r *record) {
	own := t.senderOf(ev, r)
	local, remote := endsOf(ev, own)
	peer := t.peerOf(ev.ID.NetNS, local, remote)
	told := Reset{}
	told.Cause, told.Inferred = causeOfSent(ev, historyOf(ev, own, peer))
	if told.Cause != ResetBadSegment {
		own.explain(&told)
	}
	if peer != nil {
		told.PeerKnown, told.Peer, told.PeerOwner = true, peer.ID, peer.Owner
	}
	task := t.actorOf(ev, own, told.Cause)
	conn := t.resetConn(ev, r, own, &told)
	t.change = Change{Kind: ResetSent, Time: ev.Time, Conn: conn, Task: task, Event: ev, Reset: told}
	t.emit(&t.change)

	told.PeerKnown, told.Peer, told.PeerOwner, told.PeerActor = true, event.ID{NetNS: ev.ID.NetNS}, Owner{}, task
	since := earliest(ev, own)
	if own != nil {
		told.Peer, told.PeerOwner = own.ID, own.Owner
		if own.resetSince == 0 {
			own.resetSince = since
		}
	}
	t.tell(peer, sentReset{ends: endpoints{local, remote}, netns: ev.ID.NetNS, since: since, told: told})
}

// earliest returns before when the RST of ev has not been sent. An answer is
// sent after its event, and any other RST before it: by a socket that has gone
// to CLOSE, after that.
func earliest(ev *event.Event, own *record) event.Time {
	switch {
	case ev.Reset.Answer:
		return ev.Time
	case ev.Old == tcp.Close && own != nil && own.dead && own.Closed != 0:
		return own.Closed
	}
	return ev.Time - patience
}

// senderOf returns the record of the connection that sent a RST, or that it
// was sent for: r, if it is one, or the one with the addresses of the segment
// that was answered.
func (t *Tracker) senderOf(ev *event.Event, r *record) *record {
	switch {
	case r != nil && !r.Listener():
		return r
	case !ev.Reset.Answer && ev.Old != tcp.Listen && ev.Old != tcp.Unknown:
		return nil
	case ev.Reset.Answer && !opensNothing(&ev.Reset):
		return nil // a SYN has nothing to do with what was before
	}
	return t.index.own(ev.ID.NetNS, ev.Local, ev.Remote)
}

// endsOf returns the addresses of a RST's two ends, as far as known. A closed
// socket has lost its port.
func endsOf(ev *event.Event, own *record) (local, remote netip.AddrPort) {
	local, remote = ev.Local, ev.Remote
	if own != nil && !whole(local) {
		local = own.Local
	}
	if own != nil && !whole(remote) {
		remote = own.Remote
	}
	return local, remote
}

// peerOf returns the other end, if it is on this host and wanted.
func (t *Tracker) peerOf(netns uint32, local, remote netip.AddrPort) *record {
	p := t.index.peer(netns, local, remote)
	if p == nil || p.unwanted {
		return nil
	}
	return p
}

func historyOf(ev *event.Event, own, peer *record) (h resetHistory) {
	if own != nil {
		h.known = true
		h.request = own.handshaking(ev.Time)
		h.accepted = own.Owner.Known()
		h.data = own.doubt != nil && own.doubt.reset.Kind != 0
	}
	if peer != nil && !peer.dead {
		h.peerConnecting = peer.State == tcp.SynSent
		h.peerConnected = !h.peerConnecting
	}
	return h
}

// handshaking reports whether r was a server's handshake until at, or nearly.
func (r *record) handshaking(at event.Time) bool {
	if r.Role != Server || len(r.Spans) == 0 || r.Spans[len(r.Spans)-1].State != tcp.SynRecv {
		return false
	}
	return !r.dead || at <= r.Closed+moment
}

// explain notes why a RST of r was sent, or is received, while r is open: the
// first one, as a rule, ends it. r may be nil.
func (r *record) explain(told *Reset) {
	if r != nil && !r.dead && r.ResetCause == ResetCauseNone {
		r.ResetCause, r.ResetInferred = told.Cause, told.Inferred
	}
}

// explained drops the cause of a RST that did not end r.
func (r *record) explained() {
	switch {
	case r.End == EndResetSent, r.End == EndResetReceived, r.End == EndRefused:
		return
	case r.End == EndAborted && r.ResetCause == ResetAborted, r.End == EndTimeout && r.ResetCause == ResetDeadPeer:
		return
	}
	r.ResetCause, r.ResetInferred = ResetCauseNone, false
}

// actorOf returns the process that caused a RST. Who closed a listener has also
// closed what nobody had accepted from it. A segment that came while a system
// call held the socket is answered by that call, which did not cause it.
func (t *Tracker) actorOf(ev *event.Event, own *record, cause ResetCause) event.Task {
	if cause == ResetBadSegment {
		return event.Task{}
	}
	if cause == ResetListenerClosed && !ev.Task.Known() && own != nil {
		return t.resets.closerOf(own, ev.Time)
	}
	return ev.Task
}

// resetConn returns the connection of which a RST that was sent is reported, or
// nil, and brings it up to date. own is the sender's record, r that of the
// event's identity; a listener stands in where no connection is known.
func (t *Tracker) resetConn(ev *event.Event, r, own *record, told *Reset) *Connection {
	if own != nil && own != r {
		if !own.dead {
			t.release(own)
			own.resetSent = own.resetSent || told.Cause == ResetAcceptOverflow
		}
		return &own.Connection
	}
	if r = t.resetOf(ev, r); r == nil {
		return nil
	}
	if !r.dead && !r.Listener() && told.Cause != ResetBadSegment { // which ends no socket of ours
		r.resetSent = true
		r.explain(told)
	}
	return &r.Connection
}

// resetReceived handles a RST that the peer sent, or what looks like one. Where
// its sending was not seen yet it may be in a moment: see doubt.
func (t *Tracker) resetReceived(ev *event.Event, r *record) {
	if r = t.resetOf(ev, r); r == nil {
		told := Reset{}
		told.Cause, told.Inferred = causeOfReceived(ev.Old)
		t.emitReceived(ev, nil, &told)
		return
	}
	told, ok := t.resets.take(r, ev)
	if !ok && !r.dead && !r.Listener() && !r.mini {
		t.doubtReset(r, ev)
		return
	}
	if !ok {
		told = t.unexplained(r, ev)
	}
	r.explain(&told)
	if !r.dead && !r.Listener() {
		r.resetReceived = true
	}
	t.emitReceived(ev, &r.Connection, &told)
}

// unexplained tells what can be said of a RST that r received and whose sending
// was not seen.
func (t *Tracker) unexplained(r *record, ev *event.Event) Reset {
	told := Reset{}
	told.Cause, told.Inferred = causeOfReceived(ev.Old)
	peer := t.peerOf(r.ID.NetNS, r.Local, r.Remote)
	if peer == nil {
		return told
	}
	told.PeerKnown, told.Peer, told.PeerOwner = true, peer.ID, peer.Owner
	if peer.silent(ev.Time) && !t.losses.covers(ev.Time-patience, ev.Time+patience) {
		told.Cause, told.Inferred = ResetFirewall, true
	}
	return told
}

// silent reports whether r was there at at and had sent no RST. What has closed
// answers no more by itself, but the kernel does for it, and before Linux 6.10
// does not tell.
func (r *record) silent(at event.Time) bool {
	switch {
	case r.dead && r.Closed <= at, r.doubt != nil && r.doubt.close.Kind != 0 && r.doubt.close.Time <= at:
		return false
	case r.resetSince != 0:
		return r.resetSince > at
	case r.End == EndResetSent, r.End == EndAborted, r.End == EndTimeout:
		return false
	}
	return true
}

// resetOf returns the record, perhaps of an ended connection, that a RST
// belongs to, or nil.
func (t *Tracker) resetOf(ev *event.Event, r *record) *record {
	if live := t.meet(r, ev); live != nil || r != nil {
		return r
	}
	if ev.ID.Cookie == 0 {
		return nil
	}
	switch ev.Old {
	case tcp.Unknown, tcp.Close, tcp.Listen:
		return nil
	}
	if !ev.Old.Valid() {
		return nil
	}
	return t.adopt(ev, ev.Old)
}

func (t *Tracker) emitReceived(ev *event.Event, c *Connection, told *Reset) {
	t.change = Change{Kind: ResetReceived, Time: ev.Time, Conn: c, Task: ev.Task, Event: ev, Reset: *told}
	t.emit(&t.change)
}

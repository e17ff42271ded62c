package conn

import (
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// tellsCookie reports whether ev may be the first to tell the cookie of a
// connection that was known by its addresses only: a request socket often has
// none before its child is made.
func tellsCookie(ev *event.Event) bool {
	switch ev.Kind {
	case event.State, event.Seen:
		return ev.Old == tcp.SynRecv
	case event.RequestEnd, event.RetransmitSynAck:
		return true
	}
	return false
}

// requestBegin begins a server's connection: LISTEN -> SYN_RECV.
func (t *Tracker) requestBegin(ev *event.Event, r *record) {
	s := step{old: tcp.Listen, new: tcp.SynRecv, time: ev.Time}
	if t.overtaken(ev, r, s, Server, ViaUnknown) {
		return
	}
	r = t.rebegin(ev, r)
	r.Role = Server
	t.announce(r)
}

// requestEnd ends a handshake that came to nothing: SYN_RECV -> CLOSE.
func (t *Tracker) requestEnd(ev *event.Event, r *record) {
	past := r
	if r = t.meet(r, ev); r == nil {
		if t.outlived(past, ev) {
			return
		}
		r = t.adopt(ev, tcp.SynRecv)
	}
	if r.State != tcp.SynRecv || r.Role == Client {
		t.stats.Stray++ // it became a full socket
		return
	}
	r.number(ev)
	r.End = endOfRequest(r, ev.Cause)
	if ev.Cause == event.CauseOverflow {
		r.explain(&Reset{Cause: ResetAcceptOverflow})
	}
	t.conclude(r, step{old: tcp.SynRecv, new: tcp.Close, time: ev.Time, cause: ev.Cause, task: ev.Task})
}

package conn

import (
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// worth ranks the evidence for an owner. Who accepted a socket owns it, even
// if another process, which got it from that one, was the first to read from
// it or to close it.
func (v Via) worth() int {
	switch v {
	case ViaConnect, ViaListen, ViaAccept:
		return 3
	case ViaIO, ViaSnapshot:
		return 2
	case ViaClose:
		return 1
	}
	return 0
}

// setOwner notes the process of ev as r's owner, where there is one and none
// is known as well. It reports whether it did.
func (r *record) setOwner(ev *event.Event, via Via) bool {
	if !ev.Task.Known() || via.worth() <= r.Owner.Via.worth() {
		return false
	}
	r.Owner = Owner{Task: ev.Task, Via: via}
	return true
}

// used handles a process that accepted a socket, or read from it.
func (t *Tracker) used(ev *event.Event, r *record, via Via) {
	past := r
	if r = t.meet(r, ev); r == nil {
		if past != nil || !ev.Old.Valid() || ev.Old == tcp.Close || ev.Old == tcp.Listen {
			t.stats.Stray++ // a listener also hands out what the peer has reset
			return
		}
		r = t.adopt(ev, ev.Old)
		r.Role = Server
	}
	if via == ViaAccept && r.Accepted == 0 {
		r.Accepted = ev.Time
	}
	if r.setOwner(ev, via) {
		t.emitOwned(r, ev)
	}
}

func (t *Tracker) emitOwned(r *record, ev *event.Event) {
	c := t.plain(Owned, ev.Time, r)
	c.Task = ev.Task
	t.emit(c)
}

// setCloser notes the process that closed r by ev, where one did. end is how r
// ended, where ev ends it. The first to close stands. Who closes also owns,
// where no other owner is known; but who kills ("ss -K") does not.
//
// A process can be the current one at a transition that it did not ask for:
// packets that came while it held the socket's lock are handled as it lets go.
// So an end that came from outside has no closer.
func (r *record) setCloser(ev *event.Event, end End) {
	if !ev.Task.Known() {
		return
	}
	switch ev.New {
	case tcp.FinWait1, tcp.LastAck, tcp.Close:
	case ev.Old: // close() of what was shut down before
	default:
		return
	}
	switch end {
	case EndResetReceived, EndRefused, EndTimeout, EndUnreachable, EndError:
		return
	}
	if !r.Closer.Known() {
		r.Closer = Owner{Task: ev.Task, Via: ViaClose}
	}
	if end != EndAborted {
		r.setOwner(ev, ViaClose)
	}
}

package conn

import (
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// setOwner notes the process that began r, where one did.
func (r *record) setOwner(ev *event.Event, via Via) {
	if ev.Task.Known() && via != ViaUnknown {
		r.Owner = Owner{Task: ev.Task, Via: via}
	}
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
	by := Owner{Task: ev.Task, Via: ViaClose}
	if !r.Closer.Known() {
		r.Closer = by
	}
	if !r.Owner.Known() && end != EndAborted {
		r.Owner = by
	}
}

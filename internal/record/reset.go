package record

import "github.com/tcptrace/tcptrace/internal/conn"

// reset writes a RST: the kernel's reason where it gives one, the cause that
// was concluded, and who did it.
func (w *writer) reset(c *conn.Change) {
	direction := "sent"
	if c.Kind == conn.ResetReceived {
		direction = "received"
	}
	w.Word("direction", direction)
	w.state("state", c.Event.Old)
	w.Word("reason", c.Event.Reason)
	w.Word("cause", c.Reset.Cause.String())
	if c.Reset.Inferred {
		w.Bool("inferred", true)
	}
	if c.Kind == conn.ResetSent {
		w.actor(c, &c.Task)
	}
	w.peer(&c.Reset)
}

// peer writes the other end of a RST, where it is on this host: whose it is,
// and the process that caused the RST where that is another.
func (w *writer) peer(r *conn.Reset) {
	if !r.PeerKnown {
		return
	}
	w.Open("peer", '{')
	w.identity(r.Peer)
	w.process("process", &r.PeerOwner.Task, r.PeerOwner.Via)
	if r.PeerActor.PID != r.PeerOwner.Task.PID {
		w.process("actor", &r.PeerActor, conn.ViaUnknown)
	}
	w.Close('}')
}

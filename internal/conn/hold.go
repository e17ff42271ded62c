package conn

import "github.com/tcptrace/tcptrace/internal/tcp"

// The first record of a connection should name it. Where the kernel has no
// port for it yet (a client's CLOSE -> SYN_SENT), or no cookie (a request
// socket), the first transition is held: until the next event of the
// connection, which is emitted after it, or the end of the trace. Its Time
// remains the true one.

// announce emits r's first transition, or holds it.
func (t *Tracker) announce(r *record) {
	r.held = true
	if r.ID.Cookie != 0 && whole(r.Local) {
		t.release(r)
	}
}

// release emits r's first transition if it was held.
func (t *Tracker) release(r *record) {
	if !r.held {
		return
	}
	r.held = false
	old := tcp.Close
	if r.State == tcp.SynRecv {
		old = tcp.Listen
	}
	c := t.plain(Transition, r.Opened, r)
	c.Old, c.New, c.Task = old, r.State, r.Owner.Task
	t.emit(c)
}

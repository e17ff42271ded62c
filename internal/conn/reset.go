package conn

import (
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// resetSent handles a RST that this host sent. close() reports its RST after
// the connection's end.
func (t *Tracker) resetSent(ev *event.Event, r *record) {
	if r = t.resetOf(ev, r); r == nil {
		t.emitReset(ResetSent, ev, nil)
		return
	}
	if !r.dead && !r.Listener() {
		r.resetSent = true
	}
	t.emitReset(ResetSent, ev, &r.Connection)
}

// resetReceived handles a RST that the peer sent, or what looks like one.
func (t *Tracker) resetReceived(ev *event.Event, r *record) {
	if r = t.resetOf(ev, r); r == nil {
		t.emitReset(ResetReceived, ev, nil)
		return
	}
	if !r.dead && !r.Listener() {
		if !r.mini && (r.State == tcp.FinWait1 || r.State == tcp.FinWait2) {
			t.doubtReset(r, ev)
			return
		}
		r.resetReceived = true
	}
	t.emitReset(ResetReceived, ev, &r.Connection)
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

func (t *Tracker) emitReset(kind ChangeKind, ev *event.Event, c *Connection) {
	t.change = Change{Kind: kind, Time: ev.Time, Conn: c, Task: ev.Task, Event: ev}
	t.emit(&t.change)
}

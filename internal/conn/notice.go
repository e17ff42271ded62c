package conn

import "github.com/tcptrace/tcptrace/internal/event"

// notice passes on a fact that changes no connection: a packet dropped, a full
// queue, a system call that failed. r is the socket's record, or nil. Of a
// call that failed the connection may be over already, or unknown: the Event
// tells the addresses.
func (t *Tracker) notice(kind ChangeKind, ev *event.Event, r *record) {
	c := Change{Kind: kind, Time: ev.Time, Task: ev.Task, Event: ev}
	if live := t.meet(r, ev); live != nil || r != nil {
		c.Conn = &r.Connection
	}
	t.change = c
	t.emit(&t.change)
}

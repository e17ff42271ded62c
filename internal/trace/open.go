package trace

import (
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
)

// Open yields the sockets that are followed now and that the filter selects,
// listeners included. Like Stats it is to be called from the goroutine that runs
// the source, and what it yields is not to be kept.
func (t *Trace) Open(yield func(*conn.Connection) bool) {
	for c := range t.tracker.Open {
		if t.selects(c) && !yield(c) {
			return
		}
	}
}

// Forget ends the interest in the open connections that are unwanted, as the
// tracker's does. It is called as Open is.
func (t *Trace) Forget(unwanted func(*conn.Connection) bool) {
	for c := range t.tracker.Open {
		if unwanted(c) {
			t.gate.drop(c)
			t.tracker.Forget(c)
		}
	}
}

// Lookup returns a connection that is open, or ended a moment ago, if the filter
// selects it; else nil. It is called as Open is, and valid for as long.
func (t *Trace) Lookup(id event.ID) *conn.Connection {
	c := t.tracker.Lookup(id)
	if c == nil || !t.selects(c) {
		return nil
	}
	return c
}

func (t *Trace) selects(c *conn.Connection) bool {
	s := filter.Subject{
		NetNS: c.ID.NetNS, Local: c.Local, Remote: c.Remote,
		Owner: &c.Owner.Task, Closer: &c.Closer.Task,
	}
	return t.options.Filter.Match(&s) == filter.Yes
}

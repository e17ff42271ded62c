package conn

import "github.com/tcptrace/tcptrace/internal/event"

// Lookup returns the connection, or listener, of an ID, open or among those
// that are remembered after their end; nil if there is none. It is the
// tracker's: it may be read until the next call of another method.
func (t *Tracker) Lookup(id event.ID) *Connection {
	if id.Cookie == 0 {
		return nil
	}
	t.doze()
	r := t.index.byCookie(id)
	if r == nil || r.unwanted {
		return nil
	}
	if !r.dead {
		t.markLost(r, t.now)
	}
	return &r.Connection
}

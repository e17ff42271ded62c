package trace

import (
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
)

const (
	// heldEach bounds the changes of one connection that wait, heldTotal those
	// of all. A handshake has three.
	heldEach  = 64
	heldTotal = 1 << 16
)

// A gate lets through the changes of the connections that a filter selects. The
// changes of a connection that cannot be judged yet, its process being unknown,
// wait until it can: they then carry the process that was found.
type gate struct {
	filter *filter.Filter
	pass   conn.Handler

	waiting map[*conn.Connection][]held
	total   int // changes in waiting

	unjudged  uint64 // see Summary
	overflown uint64
}

// A held change has lost its Conn's state of that moment, which no record
// shows but an end's, and ends are never held.
type held struct {
	change conn.Change
	event  event.Event
}

// judge passes on a change that is not an end, holds it, or drops it.
func (g *gate) judge(c *conn.Change) {
	switch g.verdict(c) {
	case filter.Yes:
		g.release(c.Conn)
		g.pass(c)
	case filter.Undecided:
		g.hold(c)
	case filter.No:
		g.drop(c.Conn)
	}
}

func (g *gate) verdict(c *conn.Change) filter.Verdict {
	s := filter.Subject{}
	if c.Conn == nil {
		// A RST without a socket belongs to nobody, and never will.
		s.NetNS, s.Local, s.Remote = c.Event.ID.NetNS, c.Event.Local, c.Event.Remote
		if v := g.filter.Match(&s); v == filter.Yes {
			return v
		}
		return filter.No
	}
	s.NetNS, s.Local, s.Remote = c.Conn.ID.NetNS, c.Conn.Local, c.Conn.Remote
	s.Owner, s.Closer = &c.Conn.Owner.Task, &c.Conn.Closer.Task
	return g.filter.Match(&s)
}

// end passes on the end of a connection, if it is wanted, and forgets the
// connection: what is not known of it now never will be.
func (g *gate) end(c *conn.Change, wanted bool) {
	switch g.verdict(c) {
	case filter.Yes:
		g.release(c.Conn)
		if wanted {
			g.pass(c)
		}
	case filter.Undecided:
		if wanted || len(g.waiting[c.Conn]) > 0 {
			g.unjudged++
		}
	}
	g.drop(c.Conn)
}

// hold keeps a copy of c, unless it comes after its connection's end.
func (g *gate) hold(c *conn.Change) {
	queue := g.waiting[c.Conn]
	if queue == nil && c.Conn.Closed != 0 {
		return
	}
	if len(queue) >= heldEach || g.total >= heldTotal {
		g.overflown++
		return
	}
	h := held{change: *c}
	if c.Event != nil {
		h.event = *c.Event
	}
	if g.waiting == nil {
		g.waiting = map[*conn.Connection][]held{}
	}
	g.waiting[c.Conn] = append(queue, h)
	g.total++
}

// release passes on what waits for a connection that is now known to be
// wanted.
func (g *gate) release(c *conn.Connection) {
	if g.total == 0 {
		return
	}
	queue := g.waiting[c]
	g.drop(c)
	for i := range queue {
		h := &queue[i]
		if h.change.Event != nil {
			h.change.Event = &h.event
		}
		g.pass(&h.change)
	}
}

// drop forgets what waits for a connection.
func (g *gate) drop(c *conn.Connection) {
	if g.total == 0 {
		return
	}
	if queue := g.waiting[c]; queue != nil {
		g.total -= len(queue)
		delete(g.waiting, c)
	}
}

package trace

import (
	"container/list"
	"slices"

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
	sparse bool // see Options.Sparse

	waiting map[uint32]*queue // by Connection.Number
	order   list.List         // of *queue, the longest waiting first
	total   int               // changes in waiting

	unjudged  uint64 // see Summary
	overflown uint64
}

// A queue holds the changes of one connection, in order.
type queue struct {
	number uint32 // of the connection
	held   []held
	place  *list.Element // in gate.order
}

// A held change has lost its Conn, and gets it as it then is: no record shows
// its state of this moment but an end's, and ends are never held.
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

// learn judges what waits for a connection of which more is known now.
func (g *gate) learn(c *conn.Change) {
	if g.queue(c.Conn) == nil {
		return
	}
	switch g.verdict(c) {
	case filter.Yes:
		g.release(c.Conn)
	case filter.No:
		g.drop(c.Conn)
	}
}

// strange reports whether c belongs to a process of which the source, as it
// knows that too, hands over no more. A listener tells whose side its
// connections are on, and stays.
func (g *gate) strange(c *conn.Connection) bool {
	return g.sparse && c.Owner.Known() && !c.Listener() &&
		!slices.Contains(g.filter.PIDs, c.Owner.Task.PID) && !slices.Contains(g.filter.PIDs, c.Closer.Task.PID)
}

func (g *gate) verdict(c *conn.Change) filter.Verdict {
	s := filter.Subject{}
	if c.Conn == nil {
		// A RST without a socket belongs to nobody, and never will.
		s.NetNS, s.Local, s.Remote = c.Event.ID.NetNS, c.Event.Local, c.Event.Remote
		if c.Kind == conn.Failed { // but this is the process's own
			s.Owner = &c.Event.Task
		}
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
		if (wanted || g.queue(c.Conn) != nil) && !(g.sparse && onlyEnds(c.Conn)) {
			g.unjudged++
		}
	}
	g.drop(c.Conn)
}

// onlyEnds reports whether c's end is all that was seen of it. A source that
// holds back the strangers' connections has forgotten, then, that it is one.
func onlyEnds(c *conn.Connection) bool {
	return c.Closed != 0 && c.Opened == c.Closed && !c.OpenedKnown
}

// hold keeps a copy of c, unless it comes after its connection's end. What does
// not fit is counted.
func (g *gate) hold(c *conn.Change) {
	q := g.queue(c.Conn)
	if q == nil {
		if c.Conn.Closed != 0 {
			return
		}
		q = g.enqueue(c.Conn)
	}
	if len(q.held) >= heldEach {
		g.overflown++
		return
	}
	if g.total >= heldTotal {
		g.dropOldest()
		if q = g.queue(c.Conn); q == nil {
			q = g.enqueue(c.Conn)
		}
	}
	h := held{change: *c}
	h.change.Conn = nil
	if c.Event != nil {
		h.event = *c.Event
	}
	if c.Episode != nil {
		h.change.Episode = c.Episode.Clone()
	}
	q.held = append(q.held, h)
	g.total++
}

func (g *gate) enqueue(c *conn.Connection) *queue {
	if g.waiting == nil {
		g.waiting = map[uint32]*queue{}
	}
	q := &queue{number: c.Number}
	q.place = g.order.PushBack(q)
	g.waiting[c.Number] = q
	return q
}

// queue returns what waits for a connection, or nil.
func (g *gate) queue(c *conn.Connection) *queue {
	if c == nil || len(g.waiting) == 0 {
		return nil
	}
	return g.waiting[c.Number]
}

// dropOldest makes room: whose process has not become known for longest is
// least likely to be wanted.
func (g *gate) dropOldest() {
	q := g.order.Front().Value.(*queue)
	g.overflown += uint64(len(q.held))
	g.remove(q)
}

// release passes on what waits for a connection that is now known to be
// wanted.
func (g *gate) release(c *conn.Connection) {
	q := g.queue(c)
	if q == nil {
		return
	}
	g.drop(c)
	for i := range q.held {
		h := &q.held[i]
		h.change.Conn = c
		if h.change.Event != nil {
			h.change.Event = &h.event
		}
		g.pass(&h.change)
	}
}

// drop forgets what waits for a connection.
func (g *gate) drop(c *conn.Connection) {
	if q := g.queue(c); q != nil {
		g.remove(q)
	}
}

func (g *gate) remove(q *queue) {
	g.total -= len(q.held)
	g.order.Remove(q.place)
	delete(g.waiting, q.number)
}

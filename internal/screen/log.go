package screen

import (
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A ring keeps the last so many of something.
type ring[T any] struct {
	all  []T
	next int
	size int
}

func newRing[T any](size int) ring[T] { return ring[T]{all: make([]T, 0, size), size: size} }

// add returns the place of one more, which holds what the oldest was.
func (r *ring[T]) add() *T {
	if len(r.all) < r.size { // never moved: what is in it may point into itself
		var zero T
		r.all = append(r.all, zero)
		return &r.all[len(r.all)-1]
	}
	x := &r.all[r.next]
	r.next = (r.next + 1) % r.size
	return x
}

// newestFirst yields all, the newest first.
func (r *ring[T]) newestFirst(yield func(*T) bool) {
	for i := range r.all {
		at := r.next - 1 - i
		if at < 0 {
			at += len(r.all)
		}
		if !yield(&r.all[at]) {
			return
		}
	}
}

// oldestFirst yields all, the oldest first.
func (r *ring[T]) oldestFirst(yield func(*T) bool) {
	for i := range r.all {
		if !yield(&r.all[(r.next+i)%len(r.all)]) {
			return
		}
	}
}

const (
	maxResets      = 4096
	maxRetransmits = 4096
	maxOwned       = 2048
	maxEnded       = 2048
)

// A Reset is one RST.
type Reset struct {
	Time          event.Time
	ID            event.ID // Cookie is 0 where it is of no connection
	Local, Remote netip.AddrPort
	Role          conn.Role
	Owner         conn.Owner
	Actor         event.Task // who caused it, where a process did
	State         tcp.State  // of the socket then
	Received      bool
	Cause         conn.ResetCause
	Inferred      bool
	Reason        string
	PeerOwner     conn.Owner
	Count         uint32
}

// A Resend is a segment, or several, sent again.
type Resend struct {
	Time          event.Time
	ID            event.ID
	Local, Remote netip.AddrPort
	Role          conn.Role
	Owner         conn.Owner
	State         tcp.State
	Class         conn.Class
	Segments      uint32
	Bytes         uint32
	RTOms         uint32
	SRTTus        uint32
	Cwnd          uint32
}

// An Ownership says that a connection's process became known, or better known.
type Ownership struct {
	Time  event.Time
	ID    event.ID
	Owner conn.Owner
}

// An endedConn is a connection that is over.
type endedConn struct {
	conn.Connection
	spans [7]conn.Span // backs Spans; a longer life has its last ones
}

// keep copies what is over.
func (e *endedConn) keep(c *conn.Connection) {
	e.Connection = *c
	n := min(len(c.Spans), len(e.spans))
	e.SpansCut += len(c.Spans) - n
	e.Spans = e.spans[:copy(e.spans[:], c.Spans[len(c.Spans)-n:])]
}

// logs keeps what happened last, whatever the screen's filter.
type logs struct {
	resets  ring[Reset]
	resends ring[Resend]
	owned   ring[Ownership]
	ended   ring[endedConn]
}

func newLogs() logs {
	return logs{
		resets: newRing[Reset](maxResets), resends: newRing[Resend](maxRetransmits),
		owned: newRing[Ownership](maxOwned), ended: newRing[endedConn](maxEnded),
	}
}

// take notes what c tells, and returns what was noted of a reset or a resend.
func (l *logs) take(c *conn.Change) (*Reset, *Resend) {
	switch c.Kind {
	case conn.ResetSent, conn.ResetReceived:
		return l.reset(c), nil
	case conn.Crowd:
		if c.Event.Kind == event.ResetMore {
			return l.reset(c), nil
		}
		return nil, l.resend(c)
	case conn.Retransmitted:
		return nil, l.resend(c)
	case conn.Owned, conn.Found:
		if c.Conn.Owner.Known() {
			*l.owned.add() = Ownership{c.Time, c.Conn.ID, c.Conn.Owner}
		}
	case conn.Transition:
		if c.Conn.Owner.Known() && (c.Old == tcp.Close || c.Old == tcp.Listen) {
			*l.owned.add() = Ownership{c.Time, c.Conn.ID, c.Conn.Owner}
		}
	case conn.Ended:
		if c.Conn.Closed != 0 {
			l.ended.add().keep(c.Conn)
		}
	}
	return nil, nil
}

func (l *logs) reset(c *conn.Change) *Reset {
	ev := c.Event
	r := Reset{
		Time: c.Time, ID: ev.ID, Local: ev.Local, Remote: ev.Remote, State: ev.Old, Reason: ev.Reason,
		Received: c.Kind == conn.ResetReceived, Cause: c.Reset.Cause, Inferred: c.Reset.Inferred,
		Actor: c.Task, PeerOwner: c.Reset.PeerOwner, Count: max(ev.Count, 1),
	}
	if c.Conn != nil {
		r.ID, r.Local, r.Remote = c.Conn.ID, c.Conn.Local, c.Conn.Remote
		r.Owner, r.Role = c.Conn.Owner, c.Conn.Role
	}
	x := l.resets.add()
	*x = r
	return x
}

func (l *logs) resend(c *conn.Change) *Resend {
	ev := c.Event
	r := Resend{
		Time: c.Time, ID: ev.ID, Local: ev.Local, Remote: ev.Remote, State: ev.Old, Class: c.Class, Segments: c.Segments,
		Bytes: ev.Retransmission.Bytes, RTOms: ev.Retransmission.RTOms, SRTTus: ev.Retransmission.SRTTus, Cwnd: ev.Retransmission.Cwnd,
	}
	if c.Conn != nil {
		r.ID, r.Local, r.Remote = c.Conn.ID, c.Conn.Local, c.Conn.Remote
		r.Owner, r.Role = c.Conn.Owner, c.Conn.Role
	}
	x := l.resends.add()
	*x = r
	return x
}

package timeline

import (
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A Connection is one row: a copy of what the tracker knows, and what happened
// on the way.
type Connection struct {
	conn.Connection
	Marks    []Mark // oldest first, as they were understood
	MarksCut int    // retransmits left out of Marks, evenly, because there were too many

	over  bool       // nothing more will come, but for a late RST
	until event.Time // when it was over, or the trace

	resent int // retransmits so far
	stride int // one in so many of them is marked; 0 stands for 1
}

// A Mark is a retransmit or a reset.
type Mark struct {
	Time   event.Time
	Kind   conn.ChangeKind // Retransmitted, ResetSent or ResetReceived
	State  tcp.State       // of the socket then; Unknown where that is not known
	Class  conn.Class      // of a Retransmitted
	Reason string          // of a reset: the kernel's own name; "" where it gives none
}

// maxMarks bounds Connection.Marks.
const maxMarks = 128

// Until returns when r was over, or now if it is not.
func (r *Connection) Until(now event.Time) event.Time {
	switch {
	case r.Closed != 0:
		return r.Closed
	case r.over:
		return r.until
	}
	return max(now, r.Since)
}

// Begin returns when r began, or was first known of.
func (r *Connection) Begin() event.Time {
	if r.SpansCut == 0 || len(r.Spans) == 0 {
		return r.Opened
	}
	return r.Spans[0].Begin
}

// IsOpen reports whether r had not ended when it was last heard of.
func (r *Connection) IsOpen() bool { return r.Closed == 0 }

func (r *Connection) update(c *conn.Connection) {
	spans := append(r.Spans[:0], c.Spans...)
	r.Connection = *c
	r.Spans = spans
}

// mark notes a retransmit or a reset. Of too many retransmits it notes every
// second one, then every fourth, and so on: those that remain cover the whole
// life.
func (r *Connection) mark(c *conn.Change) {
	if c.Kind == conn.Retransmitted {
		r.resent++
		if r.stride > 1 && r.resent%r.stride != 0 {
			r.MarksCut++
			return
		}
	}
	if len(r.Marks) >= maxMarks {
		r.thin()
	}
	r.Marks = append(r.Marks, Mark{Time: c.Time, Kind: c.Kind, State: c.Event.Old, Class: c.Class, Reason: c.Event.Reason})
}

func (r *Connection) thin() {
	n := 0
	r.Marks = slices.DeleteFunc(r.Marks, func(m Mark) bool {
		if m.Kind != conn.Retransmitted {
			return false
		}
		n++
		return n%2 == 1
	})
	r.MarksCut += (n + 1) / 2
	r.stride = max(r.stride, 1) * 2
	if len(r.Marks) >= maxMarks { // a hundred resets: nothing TCP does
		r.Marks = slices.Delete(r.Marks, 1, 2)
	}
}

func (r *Connection) hasBeenIn(states []tcp.State) bool {
	for i := range r.Spans {
		if slices.Contains(states, r.Spans[i].State) {
			return true
		}
	}
	return slices.Contains(states, r.State)
}

// A Stay is the time spent in one state, so far.
type Stay struct {
	State tcp.State
	For   time.Duration
	Bound conn.Bound
}

// longest returns the state that r was in for longest. TIME_WAIT, which lasts
// a minute whatever happens, counts only where there is no other.
func (r *Connection) longest(now event.Time) Stay {
	until := r.Until(now)
	var sum [tcp.NumStates]time.Duration
	var bound [tcp.NumStates]conn.Bound
	for i := range r.Spans {
		s := &r.Spans[i]
		if !s.State.Valid() || s.State == tcp.Close {
			continue
		}
		sum[s.State] += spanEnd(s, until).Sub(s.Begin)
		bound[s.State] = bound[s.State].And(s.Bound())
		if r.SpansCut > 0 {
			bound[s.State] = bound[s.State].And(conn.AtLeast)
		}
	}
	best := tcp.Unknown
	for i := range r.Spans {
		s := r.Spans[i].State
		if !s.Valid() || s == tcp.Close {
			continue
		}
		if best == tcp.Unknown || best == tcp.TimeWait && s != tcp.TimeWait || s != tcp.TimeWait && sum[s] > sum[best] {
			best = s
		}
	}
	return Stay{best, sum[best], bound[best]}
}

// current returns the stay that lasts while r is open.
func (r *Connection) current(now event.Time) Stay {
	bound := conn.Exact
	if !r.SinceKnown {
		bound = conn.AtLeast
	}
	return Stay{r.State, r.Until(now).Sub(r.Since), bound}
}

func spanEnd(s *conn.Span, until event.Time) event.Time {
	if s.End == 0 {
		return max(until, s.Begin)
	}
	return s.End
}

// Slow is how long a state that TCP only passes through may last before it is
// worth a look: longer than a round trip takes, and the least retransmission
// timeout (TCP_RTO_MIN).
const Slow = 200 * time.Millisecond

// passing reports whether TCP only passes through s, so that a long stay means
// that somebody does not answer, or does not close.
func passing(s tcp.State) bool {
	return s.Valid() && s != tcp.Established && s != tcp.TimeWait && s != tcp.Listen && s != tcp.Close
}

// stuck returns for how long r has been in a state that TCP only passes
// through, or 0 if it is not.
func (r *Connection) stuck(now event.Time) time.Duration {
	if !r.IsOpen() || !passing(r.State) {
		return 0
	}
	if d := r.Until(now).Sub(r.Since); d >= Slow {
		return d
	}
	return 0
}

// troubled reports whether something about r is out of the ordinary.
func (r *Connection) troubled() bool {
	if len(r.Marks) > 0 || !r.IsOpen() && r.End != conn.EndFIN && r.End != conn.EndUnknown {
		return true
	}
	for i := range r.Spans {
		if s := &r.Spans[i]; passing(s.State) && s.End != 0 && s.End.Sub(s.Begin) >= Slow {
			return true
		}
	}
	return false
}

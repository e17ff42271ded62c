package trace

import (
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Selects reports whether c makes a record of the kinds and states that are asked
// for. A loss always does; what is only known of a connection does not.
func Selects(f *filter.Filter, c *conn.Change) bool {
	switch c.Kind {
	case conn.Lost:
		return true
	case conn.Transition, conn.Corrected:
		return f.SelectsKind(filter.KindState) && f.SelectsState(c.New)
	case conn.Retransmitted, conn.Episode:
		return f.SelectsKind(filter.KindRetransmit)
	case conn.ResetSent, conn.ResetReceived:
		return f.SelectsKind(filter.KindReset)
	case conn.Crowd:
		if c.Event.Kind == event.ResetMore {
			return f.SelectsKind(filter.KindReset)
		}
		return f.SelectsKind(filter.KindRetransmit)
	case conn.Dropped, conn.QueueFull:
		return f.SelectsKind(filter.KindDrop)
	case conn.Failed, conn.Errored:
		return f.SelectsKind(filter.KindError)
	case conn.Ended:
		return f.SelectsKind(filter.KindConnection) && !c.Conn.Listener() && selectsLife(f, c.Conn)
	}
	return false
}

func selectsLife(f *filter.Filter, c *conn.Connection) bool {
	if len(f.States) == 0 {
		return true
	}
	for i := range c.Spans {
		if f.SelectsState(c.Spans[i].State) {
			return true
		}
	}
	return f.SelectsState(c.State)
}

// Errored makes of a transition to CLOSE what its process meets, if it still has
// the socket, where that is an error: ok is false where it is none.
func Errored(c *conn.Change) (failed conn.Change, ok bool) {
	taken := c.Cause == event.CauseTimeout && c.Old != tcp.SynRecv // there it is a request's
	if c.Kind != conn.Transition || c.New != tcp.Close || c.Conn.Err == 0 && !taken {
		return conn.Change{}, false
	}
	return conn.Change{Kind: conn.Errored, Time: c.Time, Conn: c.Conn, Old: c.Old, New: c.New, Cause: c.Cause}, true
}

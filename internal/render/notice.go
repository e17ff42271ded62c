package render

import (
	"strconv"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/names"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// drop writes a packet that the kernel dropped: which, why, and where.
func (l *line) drop(ev *event.Event) {
	l.paint(alarm, "drop")
	l.text(" ")
	if flags := names.TCPFlags(ev.Packet.Flags); flags != "" {
		l.text(flags + " ")
	}
	if ev.Packet.Bytes > 0 {
		l.b = strconv.AppendUint(l.b, uint64(ev.Packet.Bytes), 10)
		l.text("B ")
	}
	if ev.Packet.Outgoing {
		l.text("to be sent ")
	}
	if ev.Old.Valid() {
		l.text("in ")
		l.state(ev.Old)
		l.text(" ")
	}
	l.text(orDash(ev.Reason))
	if ev.Packet.Where != "" {
		l.text(" (" + ev.Packet.Where + ")")
	}
	l.times(ev.Count)
}

// queueFull writes packets that a listener had no room for.
func (l *line) queueFull(ev *event.Event) {
	l.paint(alarm, "drop")
	switch {
	case ev.Queue.SYN:
		l.text(" SYN: queue of requests full, ")
	case ev.Remote.Port() == 0:
		l.text(" SYN: accept queue full, ")
	default:
		l.text(" ACK: accept queue full, ")
	}
	l.b = strconv.AppendUint(l.b, uint64(ev.Queue.Length), 10)
	l.text("/")
	l.b = strconv.AppendUint(l.b, uint64(ev.Queue.Limit), 10)
	l.times(ev.Count)
}

// times writes how often something happened, where that is not once.
func (l *line) times(n uint32) {
	if n > 1 {
		l.text(" x")
		l.b = strconv.AppendUint(l.b, uint64(n), 10)
	}
}

// failed writes a system call that failed.
func (l *line) failed(c *conn.Change) {
	l.paint(alarm, "error")
	l.text(" " + orDash(c.Event.Err.String()))
	if op := c.Event.Op.String(); op != "" {
		l.text(": " + op + "() fails")
	}
	l.times(c.Event.Count)
	if c.Conn != nil { // else it is whose line it is
		l.actor(c, &c.Task)
	}
}

// errored writes the error by which a connection was closed.
func (l *line) errored(c *conn.Change) {
	l.paint(alarm, "error")
	l.text(" " + orDash(c.Conn.Err.String()))
	if c.Old == tcp.SynSent {
		l.text(": connect() fails")
		return
	}
	l.text(" in ")
	l.state(c.Old)
}

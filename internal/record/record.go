package record

import (
	"bytes"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/names"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Append appends the record of a change to b, with a newline, and returns the
// extended buffer. The clock is that of the source of c's events.
func Append(b []byte, c *conn.Change, clock event.Clock) []byte {
	w := writer{append(b, '{')}
	switch c.Kind {
	case conn.Transition:
		w.head("state", c, clock)
		w.subject(c)
		w.transition(c)
	case conn.Retransmitted:
		w.head("retransmit", c, clock)
		w.subject(c)
		w.retransmit(c)
	case conn.ResetSent, conn.ResetReceived:
		w.head("reset", c, clock)
		w.subject(c)
		w.reset(c)
	case conn.Ended:
		w.head("connection", c, clock)
		w.subject(c)
		w.connection(c, clock)
	case conn.Lost:
		w.head("lost", c, clock)
		w.lost(c.Event)
	default:
		return b
	}
	w.close('}')
	return append(w.b, '\n')
}

func (w *writer) head(kind string, c *conn.Change, clock event.Clock) {
	w.word("type", kind)
	w.time("time", clock.Wall(c.Time))
	w.int("mono_ns", int64(c.Time))
}

// subject writes which connection a change speaks of, and whose it is. A RST
// that had no socket has addresses alone.
func (w *writer) subject(c *conn.Change) {
	if c.Conn == nil {
		if c.Event != nil {
			w.identity(c.Event.ID)
			w.endpoints(c.Event)
		}
		return
	}
	w.identity(c.Conn.ID)
	ends := event.Event{Local: c.Conn.Local, Remote: c.Conn.Remote}
	w.endpoints(&ends)
	w.word("role", c.Conn.Role.String())
	w.process("process", &c.Conn.Owner.Task, c.Conn.Owner.Via)
}

func (w *writer) identity(id event.ID) {
	if id.Cookie != 0 {
		w.hex("conn", id.Cookie)
	}
	if id.NetNS != 0 {
		w.uint("netns", uint64(id.NetNS))
	}
}

func (w *writer) endpoints(ev *event.Event) {
	addr := ev.Local.Addr()
	if !addr.IsValid() {
		addr = ev.Remote.Addr()
	}
	switch {
	case addr.Is4() || addr.Is4In6():
		w.word("family", "ipv4")
	case addr.Is6():
		w.word("family", "ipv6")
	}
	w.endpoint("local", ev.Local)
	w.endpoint("remote", ev.Remote)
}

// process writes a task, unless it is unknown.
func (w *writer) process(name string, t *event.Task, via conn.Via) {
	if !t.Known() {
		return
	}
	w.open(name, '{')
	w.uint("pid", uint64(t.PID))
	comm, _, _ := bytes.Cut(t.Comm[:], []byte{0})
	w.text("comm", comm)
	w.uint("uid", uint64(t.UID))
	w.word("via", via.String())
	w.close('}')
}

func (w *writer) transition(c *conn.Change) {
	w.state("old", c.Old)
	w.state("new", c.New)
	switch {
	case c.InStateKnown:
		w.int("in_state_ns", int64(c.InState))
	case c.InState > 0:
		w.int("in_state_at_least_ns", int64(c.InState))
	}
	w.word("cause", c.Cause.String())
	if c.Illegal {
		w.bool("illegal", true)
	}
	w.actor(c, &c.Task)
}

// actor writes the process that did something to a connection, where it is
// not the connection's own.
func (w *writer) actor(c *conn.Change, t *event.Task) {
	if c.Conn == nil || t.PID != c.Conn.Owner.Task.PID {
		w.process("actor", t, conn.ViaUnknown)
	}
}

func (w *writer) state(name string, s tcp.State) {
	if s.Valid() {
		w.word(name, s.String())
	}
}

func (w *writer) retransmit(c *conn.Change) {
	if c.Class != conn.ClassUnknown {
		w.word("class", c.Class.String())
	}
	w.state("state", c.Event.Old)
	if c.Event.Kind == event.RetransmitSynAck {
		return // a request socket has neither a window nor a timer of its own
	}
	r := &c.Event.Retransmission
	w.uint("seq", uint64(r.Seq))
	w.uint("bytes", uint64(r.Bytes))
	w.known("rto_ms", r.RTOms)
	w.known("srtt_us", r.SRTTus)
	w.known("cwnd", r.Cwnd)
	w.word("ca_state", names.CAState(r.CAState))
	if r.Err != 0 {
		w.word("error", errno(-r.Err))
	}
}

// known writes a figure whose zero means that there is none.
func (w *writer) known(name string, value uint32) {
	if value != 0 {
		w.uint(name, uint64(value))
	}
}

func (w *writer) reset(c *conn.Change) {
	direction := "sent"
	if c.Kind == conn.ResetReceived {
		direction = "received"
	}
	w.word("direction", direction)
	w.state("state", c.Event.Old)
	w.word("reason", names.ResetReason(c.Event.Reason))
	w.actor(c, &c.Event.Task)
}

func (w *writer) lost(ev *event.Event) {
	if ev.Loss.Kind != 0 {
		w.word("kind", ev.Loss.Kind.String())
	}
	w.uint("count", ev.Loss.Count)
	if ev.Loss.From != 0 {
		w.int("from_mono_ns", int64(ev.Loss.From))
	}
}

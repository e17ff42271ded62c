package record

import (
	"bytes"
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Append appends the record of a change to b, with a newline, and returns the
// extended buffer. The clock is that of the source of c's events.
func Append(b []byte, c *conn.Change, clock event.Clock) []byte {
	w := writer{append(b, '{')}
	switch c.Kind {
	case conn.Transition, conn.Corrected:
		w.head("state", c, clock)
		w.subject(c)
		w.transition(c)
	case conn.Retransmitted:
		w.head("retransmit", c, clock)
		w.subject(c)
		w.retransmit(c)
	case conn.Crowd:
		kind := "retransmit"
		if c.Event.Kind == event.ResetMore {
			kind = "reset"
		}
		w.head(kind, c, clock)
		w.subject(c)
		w.crowd(c)
	case conn.Episode:
		w.head("retransmit_episode", c, clock)
		w.subject(c)
		w.episode(c, clock)
	case conn.ResetSent, conn.ResetReceived:
		w.head("reset", c, clock)
		w.subject(c)
		w.reset(c)
	case conn.Ended:
		w.head("connection", c, clock)
		w.subject(c)
		w.connection(c, clock)
	case conn.Dropped, conn.QueueFull:
		w.head("drop", c, clock)
		w.subject(c)
		if c.Kind == conn.Dropped {
			w.drop(c.Event)
		} else {
			w.queueFull(c.Event)
		}
	case conn.Failed, conn.Errored:
		w.head("error", c, clock)
		w.subject(c)
		if c.Kind == conn.Failed {
			w.failed(c)
		} else {
			w.errored(c)
		}
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
			w.endpoints(c.Event.Local, c.Event.Remote)
		}
		return
	}
	w.identity(c.Conn.ID)
	w.endpoints(c.Conn.Local, c.Conn.Remote)
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

func (w *writer) endpoints(local, remote netip.AddrPort) {
	addr := local.Addr()
	if !addr.IsValid() {
		addr = remote.Addr()
	}
	switch {
	case addr.Is4() || addr.Is4In6():
		w.word("family", "ipv4")
	case addr.Is6():
		w.word("family", "ipv6")
	}
	w.endpoint("local", local)
	w.endpoint("remote", remote)
}

// process writes a task, unless it is unknown.
func (w *writer) process(name string, t *event.Task, via conn.Via) {
	if !t.Known() {
		return
	}
	w.open(name, '{')
	w.task(t, via)
	w.close('}')
}

// task writes the members of a process.
func (w *writer) task(t *event.Task, via conn.Via) {
	w.uint("pid", uint64(t.PID))
	w.comm(&t.Comm)
	w.uint("uid", uint64(t.UID))
	w.label(t.Label)
	w.word("via", via.String())
}

func (w *writer) comm(raw *[16]byte) {
	name, _, _ := bytes.Cut(raw[:], []byte{0})
	w.text("comm", string(name))
}

// label writes what more is known of a process.
func (w *writer) label(l *event.Label) {
	if l == nil {
		return
	}
	w.text("host", l.Host)
	w.text("container", l.Container)
	w.text("runtime", l.Runtime)
	w.text("unit", l.Unit)
	w.text("pod_uid", l.PodUID)
	w.text("cgroup", l.Cgroup)
	w.text("exe", l.Exe)
	w.text("cmdline", l.Cmdline)
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
	if c.Kind == conn.Corrected {
		w.bool("corrected", true)
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

// known writes a figure whose zero means that there is none.
func (w *writer) known(name string, value uint32) {
	if value != 0 {
		w.uint(name, uint64(value))
	}
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

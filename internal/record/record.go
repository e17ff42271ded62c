package record

import (
	"bytes"
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/member"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A writer appends the members of a record.
type writer struct{ member.Writer }

// newWriter begins a record behind b.
func newWriter(b []byte) writer { return writer{member.Writer{B: append(b, '{')}} }

// Append appends the record of a change to b, with a newline, and returns the
// extended buffer. The clock is that of the source of c's events.
func Append(b []byte, c *conn.Change, clock event.Clock) []byte {
	w := newWriter(b)
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
	w.Close('}')
	return append(w.B, '\n')
}

func (w *writer) head(kind string, c *conn.Change, clock event.Clock) {
	w.Word("type", kind)
	w.Time("time", clock.Wall(c.Time))
	w.Int("mono_ns", int64(c.Time))
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
	w.Word("role", c.Conn.Role.String())
	w.process("process", &c.Conn.Owner.Task, c.Conn.Owner.Via)
}

func (w *writer) identity(id event.ID) {
	if id.Cookie != 0 {
		w.Hex("conn", id.Cookie)
	}
	if id.NetNS != 0 {
		w.Uint("netns", uint64(id.NetNS))
	}
}

func (w *writer) endpoints(local, remote netip.AddrPort) {
	addr := local.Addr()
	if !addr.IsValid() {
		addr = remote.Addr()
	}
	switch {
	case addr.Is4() || addr.Is4In6():
		w.Word("family", "ipv4")
	case addr.Is6():
		w.Word("family", "ipv6")
	}
	w.Endpoint("local", local)
	w.Endpoint("remote", remote)
}

// process writes a task, unless it is unknown.
func (w *writer) process(name string, t *event.Task, via conn.Via) {
	if !t.Known() {
		return
	}
	w.Open(name, '{')
	w.task(t, via)
	w.Close('}')
}

// task writes the members of a process.
func (w *writer) task(t *event.Task, via conn.Via) {
	w.Uint("pid", uint64(t.PID))
	w.comm(&t.Comm)
	w.Uint("uid", uint64(t.UID))
	w.label(t.Label)
	w.Word("via", via.String())
}

func (w *writer) comm(raw *[16]byte) {
	name, _, _ := bytes.Cut(raw[:], []byte{0})
	w.Text("comm", string(name))
}

// label writes what more is known of a process.
func (w *writer) label(l *event.Label) {
	if l == nil {
		return
	}
	w.Text("host", l.Host)
	w.Text("container", l.Container)
	w.Text("runtime", l.Runtime)
	w.Text("unit", l.Unit)
	w.Text("pod_uid", l.PodUID)
	w.Text("cgroup", l.Cgroup)
	w.Text("exe", l.Exe)
	w.Text("cmdline", l.Cmdline)
}

func (w *writer) transition(c *conn.Change) {
	w.state("old", c.Old)
	w.state("new", c.New)
	switch {
	case c.InStateKnown:
		w.Int("in_state_ns", int64(c.InState))
	case c.InState > 0:
		w.Int("in_state_at_least_ns", int64(c.InState))
	}
	w.Word("cause", c.Cause.String())
	if c.Illegal {
		w.Bool("illegal", true)
	}
	if c.Kind == conn.Corrected {
		w.Bool("corrected", true)
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
		w.Word(name, s.String())
	}
}

// known writes a figure whose zero means that there is none.
func (w *writer) known(name string, value uint32) {
	if value != 0 {
		w.Uint(name, uint64(value))
	}
}

func (w *writer) lost(ev *event.Event) {
	if ev.Loss.Kind != 0 {
		w.Word("kind", ev.Loss.Kind.String())
	}
	w.Uint("count", ev.Loss.Count)
	if ev.Loss.From != 0 {
		w.Int("from_mono_ns", int64(ev.Loss.From))
	}
}

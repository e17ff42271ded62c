package record

import (
	"github.com/tcptrace/tcptrace/internal/census"
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// AppendSocket appends the record of one socket of a census, with a newline,
// and returns the extended buffer.
func AppendSocket(b []byte, s *census.Socket, c *census.Census, clock event.Clock) []byte {
	w := newWriter(b)
	w.Word("type", "socket")
	w.Time("time", clock.Wall(s.Time))
	w.Int("mono_ns", int64(s.Time))
	w.identity(s.ID)
	w.Text("netns_name", c.Namespaces[s.ID.NetNS])
	w.endpoints(s.Local, s.Remote)
	w.Word("role", s.Role.String())
	if s.Inferred {
		w.Bool("role_inferred", true)
	}
	w.state("state", s.State)
	w.queues(s)
	w.waiting(s)
	for _, flag := range [...]struct {
		name string
		set  bool
	}{{"orphan", s.Orphan}, {"unaccepted", s.Unaccepted}, {"keepalive", s.KeepAlive}} {
		if flag.set {
			w.Bool(flag.name, true)
		}
	}
	if s.Inode != 0 {
		w.Uint("inode", s.Inode)
	}
	if s.Object != census.TimeWait {
		w.Uint("uid", uint64(s.UID))
	}
	w.holders(s)
	w.Close('}')
	return append(w.B, '\n')
}

// queues writes what waits in a full socket. A listener's are connections.
func (w *writer) queues(s *census.Socket) {
	if s.Object != census.Full {
		return
	}
	w.Uint("recv_q", uint64(s.RecvQ))
	if s.State == tcp.Listen {
		w.Uint("backlog", uint64(s.SendQ))
	} else {
		w.Uint("send_q", uint64(s.SendQ))
	}
	w.Uint("drops", uint64(s.Drops))
}

// waiting writes what the socket waits for.
func (w *writer) waiting(s *census.Socket) {
	if s.Timer == "" {
		return
	}
	w.Word("timer", s.Timer)
	w.Int("timer_left_ns", int64(s.TimeLeft))
	w.known("timeouts", uint32(s.Timeouts))
}

func (w *writer) holders(s *census.Socket) {
	if s.Owner.Known() {
		w.Open("process", '{')
		w.task(&s.Owner, s.Via)
		if s.Via == conn.ViaSnapshot {
			w.Uint("fd", uint64(s.FD))
		}
		w.Close('}')
	}
	if len(s.Holders) == 0 {
		return
	}
	w.Open("holders", '[')
	for i := range s.Holders {
		h := &s.Holders[i]
		w.Comma()
		w.B = append(w.B, '{')
		w.Uint("pid", uint64(h.PID))
		w.comm(&h.Comm)
		w.Uint("fd", uint64(h.FD))
		w.Close('}')
	}
	w.Close(']')
	w.known("more_holders", s.MoreHolders)
}

// AppendSummary appends the record of a row of a census's summary, with a
// newline, and returns the extended buffer.
func AppendSummary(b []byte, r *census.Row, at event.Time, clock event.Clock) []byte {
	w := newWriter(b)
	w.Word("type", "summary")
	w.Time("time", clock.Wall(at))
	w.Int("mono_ns", int64(at))
	w.Word("of", r.Group.String())
	if r.Group == census.Process {
		w.Open("process", '{')
		w.task(&r.Owner, conn.ViaSnapshot)
		w.Close('}')
	}
	w.Uint("sockets", r.Total)
	w.Open("states", '{')
	for _, s := range tcp.States() {
		if n := r.States[s]; n > 0 {
			w.Uint(s.String(), n)
		}
	}
	w.Close('}')
	w.Close('}')
	return append(w.B, '\n')
}

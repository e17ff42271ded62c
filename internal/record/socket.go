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
	w := writer{append(b, '{')}
	w.word("type", "socket")
	w.time("time", clock.Wall(s.Time))
	w.int("mono_ns", int64(s.Time))
	w.identity(s.ID)
	w.text("netns_name", c.Namespaces[s.ID.NetNS])
	w.endpoints(s.Local, s.Remote)
	w.word("role", s.Role.String())
	if s.Inferred {
		w.bool("role_inferred", true)
	}
	w.state("state", s.State)
	w.queues(s)
	w.waiting(s)
	for _, flag := range [...]struct {
		name string
		set  bool
	}{{"orphan", s.Orphan}, {"unaccepted", s.Unaccepted}, {"keepalive", s.KeepAlive}} {
		if flag.set {
			w.bool(flag.name, true)
		}
	}
	if s.Inode != 0 {
		w.uint("inode", s.Inode)
	}
	if s.Object != census.TimeWait {
		w.uint("uid", uint64(s.UID))
	}
	w.holders(s)
	w.close('}')
	return append(w.b, '\n')
}

// queues writes what waits in a full socket. A listener's are connections.
func (w *writer) queues(s *census.Socket) {
	if s.Object != census.Full {
		return
	}
	w.uint("recv_q", uint64(s.RecvQ))
	if s.State == tcp.Listen {
		w.uint("backlog", uint64(s.SendQ))
	} else {
		w.uint("send_q", uint64(s.SendQ))
	}
	w.uint("drops", uint64(s.Drops))
}

// waiting writes what the socket waits for.
func (w *writer) waiting(s *census.Socket) {
	if s.Timer == "" {
		return
	}
	w.word("timer", s.Timer)
	w.int("timer_left_ns", int64(s.TimeLeft))
	w.known("timeouts", uint32(s.Timeouts))
}

func (w *writer) holders(s *census.Socket) {
	if s.Owner.Known() {
		w.open("process", '{')
		w.task(&s.Owner, s.Via)
		if s.Via == conn.ViaSnapshot {
			w.uint("fd", uint64(s.FD))
		}
		w.close('}')
	}
	if len(s.Holders) == 0 {
		return
	}
	w.open("holders", '[')
	for i := range s.Holders {
		h := &s.Holders[i]
		w.comma()
		w.b = append(w.b, '{')
		w.uint("pid", uint64(h.PID))
		w.comm(&h.Comm)
		w.uint("fd", uint64(h.FD))
		w.close('}')
	}
	w.close(']')
	w.known("more_holders", s.MoreHolders)
}

// AppendSummary appends the record of a row of a census's summary, with a
// newline, and returns the extended buffer.
func AppendSummary(b []byte, r *census.Row, at event.Time, clock event.Clock) []byte {
	w := writer{append(b, '{')}
	w.word("type", "summary")
	w.time("time", clock.Wall(at))
	w.int("mono_ns", int64(at))
	w.word("of", r.Group.String())
	if r.Group == census.Process {
		w.open("process", '{')
		w.task(&r.Owner, conn.ViaSnapshot)
		w.close('}')
	}
	w.uint("sockets", r.Total)
	w.open("states", '{')
	for _, s := range tcp.States() {
		if n := r.States[s]; n > 0 {
			w.uint(s.String(), n)
		}
	}
	w.close('}')
	w.close('}')
	return append(w.b, '\n')
}

package perfetto

import (
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
	"github.com/tcptrace/tcptrace/internal/timeline"
)

// connection writes one connection: itself, its states, and what happened.
func (w *Writer) connection(r *timeline.Connection) {
	p, pid := w.process(&r.Connection)
	begin, until := r.Begin(), r.Until(w.last)
	lane, made := p.place(begin, until, &w.nextLane)
	if made {
		w.meta("thread_name", pid, lane.tid, "connections")
		w.order("thread_sort_index", pid, lane.tid, int64(lane.number))
	}
	o := w.begin("X", "connection", title(&r.Connection), pid, lane.tid)
	o.at(begin)
	o.lasting(until.Sub(begin))
	o.Open("args", '{')
	o.facts(r)
	o.Close('}')
	w.end()
	for i := range r.Spans {
		w.stay(&r.Spans[i], until, pid, lane.tid)
	}
	for i := range r.Marks {
		w.mark(&r.Marks[i], pid, lane.tid)
	}
}

// title names a connection by who opened it.
func title(c *conn.Connection) string {
	switch c.Role {
	case conn.Client:
		return "to " + spell(c.Remote)
	case conn.Server:
		return "from " + spell(c.Remote)
	}
	return "with " + spell(c.Remote)
}

func (o *object) facts(r *timeline.Connection) {
	c := &r.Connection
	if c.ID.Cookie != 0 {
		o.Hex("conn", c.ID.Cookie)
	}
	o.Uint("netns", uint64(c.ID.NetNS))
	o.place("local", c.Local)
	o.place("remote", c.Remote)
	o.Word("role", c.Role.String())
	o.Word("via", c.Owner.Via.String())
	if l := c.Owner.Task.Label; l != nil {
		o.spelled("container", l.Container)
		o.spelled("unit", l.Unit)
	}
	if r.IsOpen() {
		o.Bool("open", true)
	}
	o.Word("end", c.End.String())
	o.Word("error", c.Err.String())
	o.Word("reset_cause", c.ResetCause.String())
	if c.Closer.Known() && c.Closer.Task.PID != c.Owner.Task.PID {
		o.Uint("closed_by", uint64(c.Closer.Task.PID))
	}
	if c.HasCounters {
		o.Uint("bytes_sent", c.Counters.BytesSent)
		o.Uint("bytes_received", c.Counters.BytesReceived)
		o.Uint("srtt_us", uint64(c.Counters.SRTTus))
	}
	for class, n := range c.Retransmits {
		if n > 0 {
			o.Uint("retransmits_"+conn.Class(class).String(), uint64(n))
		}
	}
	if r.MarksCut > 0 {
		o.Int("retransmits_not_drawn", int64(r.MarksCut))
	}
	if c.SpansCut > 0 {
		o.Int("states_not_drawn", int64(c.SpansCut))
	}
	o.Bool("begin_known", c.OpenedKnown)
	o.Bool("complete", c.Complete)
}

// stay writes one state of a connection that lasted until a time.
func (w *Writer) stay(s *conn.Span, until event.Time, pid, tid int64) {
	if !s.State.Valid() || s.State == tcp.Close {
		return
	}
	end := s.End
	if end == 0 {
		end = max(until, s.Begin)
	}
	o := w.begin("X", "state", s.State.String(), pid, tid)
	o.at(s.Begin)
	o.lasting(end.Sub(s.Begin))
	if bound := s.Bound(); bound != conn.Exact {
		o.Open("args", '{')
		o.Word("duration", map[conn.Bound]string{
			conn.AtLeast: "at least", conn.AtMost: "at most", conn.Unbound: "not known",
		}[bound])
		o.Close('}')
	}
	w.end()
}

// mark writes a retransmit or a reset, in the track of its connection.
func (w *Writer) mark(m *timeline.Mark, pid, tid int64) {
	category, name, class, direction := "reset", "", "", ""
	switch m.Kind {
	case conn.ResetSent:
		name, direction = "RST sent", "sent"
	case conn.ResetReceived:
		name, direction = "RST received", "received"
	default:
		class = m.Class.String()
		category, name = "retransmit", "retransmit "+class
	}
	o := w.begin("i", category, name, pid, tid)
	o.Word("s", "t")
	o.at(m.Time)
	o.Open("args", '{')
	o.Word("class", class)
	o.Word("direction", direction)
	o.spelled("reason", m.Reason)
	if m.State.Valid() {
		o.Word("state", m.State.String())
	}
	o.Close('}')
	w.end()
}

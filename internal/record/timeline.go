package record

import (
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/timeline"
)

// AppendTimeline appends the record of one connection's life, with its marks,
// and a newline. It is a connection record whose states say when they began,
// begin_ns, and whose marks say when they were, at_ns: both count from
// begin_mono_ns. A connection that is open lasts until now.
func AppendTimeline(b []byte, r *timeline.Connection, now event.Time, clock event.Clock) []byte {
	w := newWriter(b)
	c := conn.Change{Kind: conn.Ended, Time: r.Until(now), Conn: &r.Connection}
	w.head("timeline", &c, clock)
	w.subject(&c)
	w.life(r, c.Time, clock)
	w.Word("end", r.End.String())
	w.Word("error", r.Err.String())
	w.losses(&r.Connection)
	w.Bool("complete", r.Complete)
	if r.IsOpen() {
		w.Bool("open", true)
	}
	w.Close('}')
	return append(w.B, '\n')
}

func (w *writer) life(r *timeline.Connection, until event.Time, clock event.Clock) {
	if r.OpenedKnown {
		w.Time("opened", clock.Wall(r.Opened))
	}
	if !r.IsOpen() {
		w.Time("closed", clock.Wall(r.Closed))
	}
	life := "lifetime_at_least_ns"
	if r.OpenedKnown {
		life = "lifetime_ns"
	}
	w.Int(life, int64(until.Sub(r.Opened)))
	begin := r.Begin()
	w.Int("begin_mono_ns", int64(begin))
	w.Open("states", '[')
	for i := range r.Spans {
		s := &r.Spans[i]
		if !isStay(s) {
			continue
		}
		w.Comma()
		w.B = append(w.B, '{')
		w.state("state", s.State)
		w.Int("begin_ns", int64(s.Begin.Sub(begin)))
		w.stay(s, until)
		w.Close('}')
	}
	w.Close(']')
	if r.SpansCut > 0 {
		w.Int("states_cut", int64(r.SpansCut))
	}
	w.marks(r, begin)
}

func (w *writer) marks(r *timeline.Connection, begin event.Time) {
	if len(r.Marks) == 0 {
		return
	}
	w.Open("marks", '[')
	for i := range r.Marks {
		m := &r.Marks[i]
		w.Comma()
		w.B = append(w.B, '{')
		kind, direction := "retransmit", ""
		switch m.Kind {
		case conn.ResetSent:
			kind, direction = "reset", "sent"
		case conn.ResetReceived:
			kind, direction = "reset", "received"
		}
		w.Word("kind", kind)
		w.Int("at_ns", int64(m.Time.Sub(begin)))
		w.state("state", m.State)
		if m.Kind == conn.Retransmitted && m.Class != conn.ClassUnknown {
			w.Word("class", m.Class.String())
		}
		w.Word("direction", direction)
		w.Word("reason", m.Reason)
		w.Close('}')
	}
	w.Close(']')
	if r.MarksCut > 0 {
		w.Int("marks_cut", int64(r.MarksCut))
	}
}

// AppendTimelineProcess appends the summary of one process at a time, and a
// newline. Without a process, it is of the connections whose process is not
// known.
func AppendTimelineProcess(b []byte, p *timeline.Process, at event.Time, clock event.Clock) []byte {
	w := newWriter(b)
	w.head("timeline_process", &conn.Change{Time: at}, clock)
	w.process("process", &p.Owner.Task, conn.ViaUnknown)
	w.Int("connections", int64(p.Connections()))
	w.Int("open", int64(p.Open))
	w.Open("roles", '{')
	for _, role := range []struct {
		name string
		n    int
	}{{"client", p.Clients}, {"server", p.Servers}, {"unknown", p.Others}} {
		if role.n > 0 {
			w.Int(role.name, int64(role.n))
		}
	}
	w.Close('}')
	w.Open("states", '{')
	for i := range p.States {
		w.stays(&p.States[i])
	}
	w.Close('}')
	w.Close('}')
	return append(w.B, '\n')
}

func (w *writer) stays(s *timeline.StateSummary) {
	w.Open(s.State.String(), '{')
	w.Int("count", int64(s.Count))
	if s.Older > 0 {
		w.Int("count_begin_unknown", int64(s.Older))
	}
	if s.Count > 0 {
		w.Int("median_ns", int64(s.Median))
		w.Int("p99_ns", int64(s.P99))
		w.Int("max_ns", int64(s.Max))
	}
	if s.Now > 0 {
		w.Int("now", int64(s.Now))
		name := "longest_now_at_least_ns"
		if s.LongestKnown {
			name = "longest_now_ns"
		}
		w.Int(name, int64(s.Longest))
		if id := s.LongestOf.ID.Cookie; id != 0 {
			w.Hex("longest_now_conn", id)
		}
	}
	w.Close('}')
}

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
	w := writer{append(b, '{')}
	c := conn.Change{Kind: conn.Ended, Time: r.Until(now), Conn: &r.Connection}
	w.head("timeline", &c, clock)
	w.subject(&c)
	w.life(r, c.Time, clock)
	w.word("end", r.End.String())
	w.word("error", r.Err.String())
	w.losses(&r.Connection)
	w.bool("complete", r.Complete)
	if r.IsOpen() {
		w.bool("open", true)
	}
	w.close('}')
	return append(w.b, '\n')
}

func (w *writer) life(r *timeline.Connection, until event.Time, clock event.Clock) {
	if r.OpenedKnown {
		w.time("opened", clock.Wall(r.Opened))
	}
	if !r.IsOpen() {
		w.time("closed", clock.Wall(r.Closed))
	}
	life := "lifetime_at_least_ns"
	if r.OpenedKnown {
		life = "lifetime_ns"
	}
	w.int(life, int64(until.Sub(r.Opened)))
	begin := r.Begin()
	w.int("begin_mono_ns", int64(begin))
	w.open("states", '[')
	for i := range r.Spans {
		s := &r.Spans[i]
		if !isStay(s) {
			continue
		}
		w.comma()
		w.b = append(w.b, '{')
		w.state("state", s.State)
		w.int("begin_ns", int64(s.Begin.Sub(begin)))
		w.stay(s, until)
		w.close('}')
	}
	w.close(']')
	if r.SpansCut > 0 {
		w.int("states_cut", int64(r.SpansCut))
	}
	w.marks(r, begin)
}

func (w *writer) marks(r *timeline.Connection, begin event.Time) {
	if len(r.Marks) == 0 {
		return
	}
	w.open("marks", '[')
	for i := range r.Marks {
		m := &r.Marks[i]
		w.comma()
		w.b = append(w.b, '{')
		kind, direction := "retransmit", ""
		switch m.Kind {
		case conn.ResetSent:
			kind, direction = "reset", "sent"
		case conn.ResetReceived:
			kind, direction = "reset", "received"
		}
		w.word("kind", kind)
		w.int("at_ns", int64(m.Time.Sub(begin)))
		w.state("state", m.State)
		if m.Kind == conn.Retransmitted && m.Class != conn.ClassUnknown {
			w.word("class", m.Class.String())
		}
		w.word("direction", direction)
		w.word("reason", m.Reason)
		w.close('}')
	}
	w.close(']')
	if r.MarksCut > 0 {
		w.int("marks_cut", int64(r.MarksCut))
	}
}

// AppendTimelineProcess appends the summary of one process at a time, and a
// newline. Without a process, it is of the connections whose process is not
// known.
func AppendTimelineProcess(b []byte, p *timeline.Process, at event.Time, clock event.Clock) []byte {
	w := writer{append(b, '{')}
	w.head("timeline_process", &conn.Change{Time: at}, clock)
	w.process("process", &p.Owner.Task, conn.ViaUnknown)
	w.int("connections", int64(p.Connections()))
	w.int("open", int64(p.Open))
	w.open("roles", '{')
	for _, role := range []struct {
		name string
		n    int
	}{{"client", p.Clients}, {"server", p.Servers}, {"unknown", p.Others}} {
		if role.n > 0 {
			w.int(role.name, int64(role.n))
		}
	}
	w.close('}')
	w.open("states", '{')
	for i := range p.States {
		w.stays(&p.States[i])
	}
	w.close('}')
	w.close('}')
	return append(w.b, '\n')
}

func (w *writer) stays(s *timeline.StateSummary) {
	w.open(s.State.String(), '{')
	w.int("count", int64(s.Count))
	if s.Older > 0 {
		w.int("count_begin_unknown", int64(s.Older))
	}
	if s.Count > 0 {
		w.int("median_ns", int64(s.Median))
		w.int("p99_ns", int64(s.P99))
		w.int("max_ns", int64(s.Max))
	}
	if s.Now > 0 {
		w.int("now", int64(s.Now))
		name := "longest_now_at_least_ns"
		if s.LongestKnown {
			name = "longest_now_ns"
		}
		w.int(name, int64(s.Longest))
		if id := s.LongestOf.ID.Cookie; id != 0 {
			w.hex("longest_now_conn", id)
		}
	}
	w.close('}')
}

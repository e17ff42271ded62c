package record

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// connection writes a whole life, or as much of it as was seen until the run
// ended.
func (w *writer) connection(ch *conn.Change, clock event.Clock) {
	c, until := ch.Conn, ch.Time
	if c.OpenedKnown {
		w.Time("opened", clock.Wall(c.Opened))
	}
	if c.Closed != 0 {
		w.Time("closed", clock.Wall(c.Closed))
		until = c.Closed
	}
	switch {
	case c.OpenedKnown:
		w.Int("lifetime_ns", int64(until.Sub(c.Opened)))
	case c.Opened != 0:
		w.Int("lifetime_at_least_ns", int64(until.Sub(c.Opened)))
	}
	if wait, ok := c.AcceptWait(); ok {
		w.Int("accept_wait_ns", int64(wait))
	}
	w.spans(c, until)
	w.durations(c, until)
	w.Word("end", c.End.String())
	w.Word("error", c.Err.String())
	w.Word("reset_cause", c.ResetCause.String())
	if c.ResetInferred {
		w.Bool("reset_inferred", true)
	}
	w.isn("isn_sent", c.ISNs.Sent)
	w.isn("isn_received", c.ISNs.Received)
	w.counters(c)
	w.losses(c)
	if c.Closer.Task.PID != c.Owner.Task.PID {
		w.process("closer", &c.Closer.Task, c.Closer.Via)
	}
	w.Bool("complete", c.Complete)
	if c.Closed == 0 {
		w.Bool("open", true)
	}
}

// spans writes the states in order. A stay whose begin was not seen has
// at_least_ns in place of ns, and one whose end was not seen at_most_ns; the
// last one of an open connection lasts on.
func (w *writer) spans(c *conn.Connection, until event.Time) {
	if len(c.Spans) == 0 {
		return
	}
	w.Open("states", '[')
	for i := range c.Spans {
		s := &c.Spans[i]
		if !isStay(s) {
			continue
		}
		w.Comma()
		w.B = append(w.B, '{')
		w.state("state", s.State)
		w.stay(s, until)
		w.Close('}')
	}
	w.Close(']')
	if c.SpansCut > 0 {
		w.Int("states_cut", int64(c.SpansCut))
	}
}

// stay writes how long s lasted.
func (w *writer) stay(s *conn.Span, until event.Time) {
	switch ns := int64(length(s, until)); s.Bound() {
	case conn.Exact:
		w.Int("ns", ns)
	case conn.AtLeast:
		if ns > 0 {
			w.Int("at_least_ns", ns)
		}
	case conn.AtMost:
		w.Int("at_most_ns", ns)
	}
}

// isStay leaves out the CLOSE that ends a life: it is no time spent.
func isStay(s *conn.Span) bool { return s.State.Valid() && s.State != tcp.Close }

func length(s *conn.Span, until event.Time) time.Duration {
	if s.End == 0 {
		return until.Sub(s.Begin)
	}
	return s.End.Sub(s.Begin)
}

// durations writes the time in each state. A state of which some time was not
// seen, or a stay was cut, goes into durations_at_least, and one in which it
// was for less time than it was believed to be into durations_at_most.
func (w *writer) durations(c *conn.Connection, until event.Time) {
	var total [tcp.NumStates]time.Duration
	var bound [tcp.NumStates]conn.Bound
	var seen [tcp.NumStates]bool
	for i := range c.Spans {
		s := &c.Spans[i]
		if !isStay(s) {
			continue
		}
		total[s.State] += length(s, until)
		seen[s.State] = true
		bound[s.State] = bound[s.State].And(s.Bound())
		if c.SpansCut > 0 {
			bound[s.State] = bound[s.State].And(conn.AtLeast)
		}
	}
	for _, of := range []struct {
		name  string
		bound conn.Bound
	}{{"durations", conn.Exact}, {"durations_at_least", conn.AtLeast}, {"durations_at_most", conn.AtMost}} {
		begun := false
		for s := tcp.Established; s < tcp.NumStates; s++ {
			if !seen[s] || bound[s] != of.bound || of.bound == conn.AtLeast && total[s] == 0 {
				continue
			}
			if !begun {
				w.Open(of.name, '{')
				begun = true
			}
			w.Int(s.String(), int64(total[s]))
		}
		if begun {
			w.Close('}')
		}
	}
}

func (w *writer) isn(name string, n event.ISN) {
	if n.Known {
		w.Uint(name, uint64(n.Seq))
	}
}

func (w *writer) counters(c *conn.Connection) {
	if !c.HasCounters {
		return
	}
	n := &c.Counters
	w.Uint("bytes_sent", n.BytesSent)
	if acked, ok := c.BytesAcked(); ok {
		w.Uint("bytes_acked", acked)
	}
	w.Uint("bytes_received", n.BytesReceived)
	w.Uint("segs_out", uint64(n.SegsOut))
	w.Uint("segs_in", uint64(n.SegsIn))
	w.known("srtt_us", n.SRTTus)
}

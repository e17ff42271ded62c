package render

import (
	"strconv"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// episode writes the end of a time in which a connection had to send again, and
// in the place of the time in the old state what it cost.
func (l *line) episode(c *conn.Change) {
	e := c.Episode
	switch e.Outcome {
	case conn.OutcomeFailed:
		l.paint(alarm, "loss never repaired")
	case conn.OutcomeOpen:
		l.text("loss not over")
	case conn.OutcomeRecovered:
		l.text("loss repaired")
	default:
		l.text("loss")
	}
	l.text(", ")
	l.b = strconv.AppendUint(l.b, uint64(e.Segments), 10)
	l.text(" resent")
	l.pad(eventWidth)
	lost, exact := e.TimeLost(c.Time)
	l.right(lost, exact, inOldWidth)
	l.chain(e)
	switch e.Lost {
	case conn.LostData:
		l.text(": data lost")
	case conn.LostACKs:
		l.text(": ACKs lost or late, none was needed")
	case conn.LostBoth:
		l.text(": data and ACKs lost")
	}
}

// chain writes what was tried, in order: "tlp rto(200 400 ms) recovery*12".
func (l *line) chain(e *conn.LossEpisode) {
	open := false
	for i := range e.Chain {
		k := &e.Chain[i]
		if open && k.Class == e.Chain[i-1].Class && k.Segments == 1 {
			l.text(" ")
			l.b = strconv.AppendUint(l.b, uint64(k.RTOms), 10)
			continue
		}
		if open {
			l.text(" ms)")
			open = false
		}
		l.text(" ")
		l.text(k.Class.String())
		switch {
		case k.Segments != 1:
			l.text("*")
			l.b = strconv.AppendUint(l.b, uint64(k.Segments), 10)
		case k.RTOms != 0 && (k.Class == conn.ClassRTO || k.Class == conn.ClassSYN || k.Class == conn.ClassFIN):
			l.text("(")
			l.b = strconv.AppendUint(l.b, uint64(k.RTOms), 10)
			open = true
		}
	}
	if open {
		l.text(" ms)")
	}
	if e.ChainCut > 0 {
		l.text(" ...")
	}
}

// crowd writes the counts of what no connection can be named for: there was too
// much of it.
func (l *line) crowd(c *conn.Change) {
	if c.Event.Kind == event.ResetMore {
		l.b = strconv.AppendUint(l.b, uint64(c.Event.Count), 10)
		l.text(" more, ")
		l.paint(alarm, "RST sent")
		if c.Event.Reason != "" {
			l.text(" (")
			l.text(c.Event.Reason)
			l.text(")")
		}
		return
	}
	l.b = strconv.AppendUint(l.b, uint64(c.Segments), 10)
	l.text(" more, retransmit")
	for class, n := range c.Event.Suppressed.ByClass {
		if n > 0 {
			l.text(" ")
			l.text(conn.Class(class).String())
			l.text("*")
			l.b = strconv.AppendUint(l.b, uint64(n), 10)
		}
	}
}

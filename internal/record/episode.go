package record

import (
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// episode writes a time in which a connection had to send again.
func (w *writer) episode(c *conn.Change, clock event.Clock) {
	e := c.Episode
	w.Time("begin", clock.Wall(e.Begin))
	w.Word("outcome", e.Outcome.String())
	if e.Outcome == conn.OutcomeFailed {
		w.Word("end", c.Conn.End.String())
	}
	switch lost, exact := e.TimeLost(c.Time); {
	case exact:
		w.Int("loss_ns", int64(lost))
	case lost > 0:
		w.Int("loss_at_least_ns", int64(lost))
	}
	if e.Waited > 0 {
		w.Int("waited_ns", int64(e.Waited))
	}
	w.Uint("segments", uint64(e.Segments))
	w.classes("retransmits", &e.Classes)
	w.chain(e)
	if e.FINs > 0 {
		w.Uint("fins", uint64(e.FINs))
	}
	if e.Needless > 0 {
		w.Uint("needless", uint64(e.Needless))
	}
	if e.Lost != conn.LostUnknown {
		w.Word("lost", e.Lost.String())
		w.Bool("spurious", e.Spurious())
	}
	if e.Undone {
		w.Bool("undone", true)
	}
}

// chain writes the classes in the order in which they were tried.
func (w *writer) chain(e *conn.LossEpisode) {
	if len(e.Chain) == 0 {
		return
	}
	w.Open("chain", '[')
	for i := range e.Chain {
		l := &e.Chain[i]
		w.Comma()
		w.B = append(w.B, '{')
		w.Word("class", l.Class.String())
		w.Uint("segments", uint64(l.Segments))
		w.known("rto_ms", l.RTOms)
		w.Close('}')
	}
	w.Close(']')
	if e.ChainCut > 0 {
		w.Uint("chain_cut", uint64(e.ChainCut))
	}
}

// losses writes what a connection's loss episodes come to.
func (w *writer) losses(c *conn.Connection) {
	w.classes("retransmits", &c.Retransmits)
	if c.Episodes == 0 {
		return
	}
	w.Uint("loss_episodes", uint64(c.Episodes))
	if c.SpuriousEpisodes > 0 {
		w.Uint("spurious_episodes", uint64(c.SpuriousEpisodes))
	}
	w.Int("loss_ns", int64(c.EpisodeTime))
	if c.EpisodeTimeAtLeast {
		w.Bool("loss_at_least", true)
	}
}

// classes writes how many segments of each class were sent again, if any.
func (w *writer) classes(name string, counts *[conn.NumClasses]uint32) {
	begun := false
	for class, n := range counts {
		if n == 0 {
			continue
		}
		if !begun {
			w.Open(name, '{')
			begun = true
		}
		w.Uint(conn.Class(class).String(), uint64(n))
	}
	if begun {
		w.Close('}')
	}
}

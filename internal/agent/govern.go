package agent

import (
	"fmt"

	"github.com/tcptrace/tcptrace/internal/agent/export"
	"github.com/tcptrace/tcptrace/internal/agent/governor"
	"github.com/tcptrace/tcptrace/internal/agent/metrics"
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// governed is what the limit of the cost has led to. The goroutine that runs the
// source uses it.
type governed struct {
	governor *governor.Governor
	samples  governor.Samples
	left     event.Shedding
	forget   event.Time // when to forget the connections that are told of no more; 0: there are none
}

// weight returns how many connections that of c stands for.
func (g *governed) weight(c *conn.Change) uint64 {
	if c.Conn.ID.Cookie == 0 {
		return 1
	}
	return g.samples.At(c.Time).Weight()
}

func (g *governed) describe(l *metrics.Load) {
	l.Limit, l.Cost, l.Left = g.governor.Limit(), g.governor.Cost(), g.left
}

// govern has less left out, or more, by what tracing costs.
func (a *Agent) govern(now event.Time) error {
	g := &a.governed
	if g.forget != 0 && now >= g.forget {
		g.forget = 0
		a.watched.Forget(func(c *conn.Connection) bool { return !c.Listener() && !g.left.Tells(c.ID.Cookie) })
		a.renew(now) // findings about those that are left
	}
	if !g.governor.Due(now) {
		return nil
	}
	spent, err := a.watched.Cost()
	if err != nil {
		return fmt.Errorf("limit what tracing costs: %w", err)
	}
	if !g.governor.Observe(now, spent) {
		return nil
	}
	before := g.left
	g.left = g.governor.Shedding()
	from, err := a.watched.Shed(g.left)
	if err != nil {
		return fmt.Errorf("limit what tracing costs: %w", err)
	}
	g.samples.Add(from, g.left)
	if g.left.Sockets > before.Sockets {
		g.forget = from.Add(handedOver) // what came before that has been seen by then
	}
	a.tellShedding(now)
	return nil
}

// tellShedding says what is left out from now on.
func (a *Agent) tellShedding(now event.Time) {
	g := &a.governed
	s := export.Shedding{Left: g.left, Cost: g.governor.Cost(), Limit: g.governor.Limit()}
	advice := "counts of connections are estimates where not all are looked at; see tcptrace_shedding"
	if g.governor.AtEnd() {
		advice = "nothing more can be left out: raise --max-cpu, or select connections"
	}
	a.log.Warn(s.String(), "cost", percent(s.Cost), "limit", percent(s.Limit), "note", advice)
	if a.exporter != nil {
		a.exporter.Shedding(s, now)
	}
}

func percent(ratio float64) string { return fmt.Sprintf("%.2f%% of a core", 100*ratio) }

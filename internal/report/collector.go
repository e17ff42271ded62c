package report

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/population"
	"github.com/tcptrace/tcptrace/internal/tcp"
	"github.com/tcptrace/tcptrace/internal/timeline"
)

const (
	// maxKept bounds the connections whose lives are remembered, and maxRescued
	// those that would have been dropped to make room but went wrong.
	maxKept    = 20_000
	maxRescued = 4096

	// instants bounds the counts of each state over time.
	instants = 4096
)

// Options say what a page is of.
type Options struct {
	// Engine finds what is wrong; without one the page has no findings.
	Engine *diagnose.Engine

	// Explain, if set, adds to a finding what other hosts know of it.
	Explain func(*diagnose.Finding)

	// States selects connections that have been in one of these. Empty selects
	// all. The states over time count all.
	States []tcp.State
}

// A Collector takes in the changes of a trace. It keeps neither a change nor its
// connection. It is not safe for concurrent use.
type Collector struct {
	engine    *diagnose.Engine // nil: no findings are wanted
	explain   func(*diagnose.Finding)
	selects   bool // by states
	timelines *timeline.Collector
	rescued   []*timeline.Connection
	history   *population.History
	tally     tally
	resets    resets
	begun     bool
	begin     event.Time
	last      event.Time
}

// NewCollector returns a Collector that has seen nothing.
func NewCollector(o Options) *Collector {
	c := &Collector{engine: o.Engine, explain: o.Explain, selects: len(o.States) > 0, history: population.NewHistory(instants), tally: newTally()}
	c.timelines = timeline.NewCollector(timeline.Options{MaxConnections: maxKept, States: o.States, Dropped: c.rescue})
	return c
}

// Begin says when the trace began. Without it that is the first change's time.
func (c *Collector) Begin(t event.Time) {
	if c.begun {
		return
	}
	c.begun, c.begin = true, t
	c.last = max(c.last, t)
	c.timelines.Begin(t)
	c.history.Begin(t)
}

// Show takes in one change of any kind, and reports whether it was the end of a
// connection. It should be shown every kind: see trace.Options.Every.
func (c *Collector) Show(ch *conn.Change) bool {
	c.Begin(ch.Time)
	c.last = max(c.last, ch.Time)
	if c.engine != nil {
		c.engine.Handle(ch)
	}
	c.history.Show(ch)
	c.resets.show(ch)
	wanted := c.timelines.Show(ch)
	if ch.Kind != conn.Ended || wanted || !c.selects {
		c.tally.show(ch)
	}
	return wanted
}

// Advance says that every change up to now has been shown. A live source that may
// fall silent calls it from time to time, and at the end: findings may arise as
// time passes, and the page reaches to here.
func (c *Collector) Advance(now event.Time) {
	c.last = max(c.last, now)
	if c.engine != nil {
		c.engine.Advance(now)
	}
}

// Lasted returns how long the trace has been.
func (c *Collector) Lasted() time.Duration { return c.last.Sub(c.begin) }

// rescue keeps a connection that is dropped to make room if something went wrong
// with it.
func (c *Collector) rescue(r *timeline.Connection) {
	if len(c.rescued) < maxRescued && interest(r, c.last) <= resent {
		c.rescued = append(c.rescued, r)
	}
}

// connections returns what is remembered.
func (c *Collector) connections() []*timeline.Connection {
	return append(c.rescued, c.timelines.Connections()...)
}

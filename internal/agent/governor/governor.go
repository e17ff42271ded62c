// Package governor holds what tracing costs under a limit: it says what to leave
// out when it costs more, and to leave out less when it can. It reads no clock
// and measures nothing.
package governor

import (
	"math"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
)

// Options say how much tracing may cost.
type Options struct {
	Limit float64 // CPU time a second, of one core; 0: no limit

	// Window is over how long the cost is averaged before it is judged.
	Window time.Duration
}

// DefaultWindow is the default of Options.Window.
const DefaultWindow = 5 * time.Second

// The ladder of what is left out: nothing, drops, the details of retransmits too,
// half of the connections, three quarters, and so on.
const (
	levelDrops       = 1
	levelRetransmits = 2
	maxSockets       = 10 // one connection of 1,024 is left
	maxLevel         = levelRetransmits + maxSockets
)

const (
	// roused is how many windows in a row over the limit it takes: a sweep is no
	// reason.
	roused = 2

	// calmed is how many windows with room to spare it takes to leave out less,
	// at first; where that was too soon it is doubled, up to maxCalmed.
	calmed    = 3
	maxCalmed = 60

	// A step back can double the cost, if it is one of connections, and there is
	// to be room for that. Of the two below, less is known.
	roomForSockets = 0.4
	roomForRest    = 0.7
)

// A Governor decides. One goroutine uses it.
type Governor struct {
	options Options

	begun event.Time // of the window
	spent time.Duration

	cost    float64 // in the last window
	level   int
	over    int // windows in a row over the limit
	calm    int // windows in a row with room to spare
	patient int // windows of calm that it takes
	since   int // windows since the last step back, which is no reason to be patient when it is long ago
}

// New returns a Governor that leaves out nothing yet.
func New(o Options) *Governor { return &Governor{options: o, patient: calmed, since: maxCalmed} }

// Due reports whether it is time to observe.
func (g *Governor) Due(now event.Time) bool {
	return g.options.Limit > 0 && (g.begun == 0 || now.Sub(g.begun) >= g.options.Window)
}

// Observe takes in what tracing has cost in all until now, and reports whether
// other things are to be left out than before.
func (g *Governor) Observe(now event.Time, spent time.Duration) (changed bool) {
	begun, before := g.begun, g.spent
	g.begun, g.spent = now, spent
	if begun == 0 || now <= begun {
		return false
	}
	g.cost = (spent - before).Seconds() / now.Sub(begun).Seconds()
	level := g.level
	g.judge()
	return g.level != level
}

func (g *Governor) judge() {
	g.since++
	room := roomForRest
	if g.level > levelRetransmits {
		room = roomForSockets
	}
	switch {
	case g.cost > g.options.Limit:
		g.calm = 0
		if g.over++; g.over >= roused {
			g.raise()
		}
	case g.cost <= room*g.options.Limit:
		g.over = 0
		if g.calm++; g.calm >= g.patient && g.level > 0 {
			g.lower(room)
		}
	default:
		g.over, g.calm = 0, 0
	}
}

// lower leaves out less: of connections as much less as there is surely room for.
func (g *Governor) lower(room float64) {
	step := 1
	if g.level > levelRetransmits && g.cost > 0 {
		step += int(math.Log2(room * g.options.Limit / g.cost))
		step = min(step, g.level-levelRetransmits)
	}
	g.level -= step
	g.calm, g.since = 0, 0
}

// raise leaves out more: one thing at a time, but of connections as many as it
// takes, since what they cost goes with their number.
func (g *Governor) raise() {
	if g.since <= roused {
		g.patient = min(2*g.patient, maxCalmed)
	} else if g.since > maxCalmed {
		g.patient = calmed
	}
	step := 1
	if g.level >= levelRetransmits {
		step = max(1, int(math.Ceil(math.Log2(g.cost/g.options.Limit))))
	}
	g.level = min(g.level+step, maxLevel)
}

// Shedding returns what is to be left out.
func (g *Governor) Shedding() event.Shedding {
	return event.Shedding{
		Drops: g.level >= levelDrops, Retransmits: g.level >= levelRetransmits,
		Sockets: uint8(max(0, g.level-levelRetransmits)),
	}
}

// Cost returns what tracing cost in the last window, and Limit what it may, both
// in CPU time a second. AtEnd reports whether nothing more can be left out.
func (g *Governor) Cost() float64  { return g.cost }
func (g *Governor) Limit() float64 { return g.options.Limit }
func (g *Governor) AtEnd() bool    { return g.level == maxLevel }

package diagnose

import (
	"cmp"
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// Options say what an Engine may ask.
type Options struct {
	Settings  Settings  // nil: no sysctl is known; they may be Devices, too
	Processes Processes // nil: no process can be looked at
	Stacks    Stacks    // nil: where connections were opened is not known
}

const (
	// tickEvery is how often, in event time, rules look at what has lasted.
	tickEvery = 250 * time.Millisecond
	// tellEvery is the shortest time between two tellings of one finding.
	tellEvery = time.Second
	// maxCauses bounds the findings of one rule, maxConns the connections that
	// a finding names.
	maxCauses = 128
	maxConns  = 5
)

// An Engine finds what is wrong. One goroutine uses it.
type Engine struct {
	options  Options
	rules    []*Rule
	watchers []watcher
	route    route    // of changes to watchers
	causes   []*cause // in the order in which they were first seen
	changed  []*cause // since they were told

	processes    map[uint32]*process
	met          [64]*process // of these, those asked for last
	tidied       event.Time   // when processes were last forgotten
	listeners    map[listenPort]*process
	peers        peers
	destinations destinations
	attempts     attempts
	drops        drops
	ranges       map[uint32]portRange
	ranged       portRange           // of these, the one asked for last
	overflown    map[listenPort]bool // listeners whose accept queue was full

	now   event.Time
	due   event.Time // of the next tick
	lost  event.Time // when the last loss of events ended
	stats Stats
}

// Stats are figures about an Engine.
type Stats struct {
	Connections uint64 // that have ended, or were open at the end; no listeners
	Lost        uint64 // events that nobody saw
	Unfollowed  uint64 // causes that there was no room for
}

// New returns an Engine with all rules.
func New(options Options) *Engine {
	e := &Engine{
		options: options, rules: Rules(),
		processes: map[uint32]*process{}, listeners: map[listenPort]*process{},
		ranges: map[uint32]portRange{}, overflown: map[listenPort]bool{},
	}
	e.peers.init()
	e.drops.init()
	e.destinations.init(e)
	e.attempts.init(e)
	for i, r := range e.rules {
		w := r.begin(e, r)
		e.watchers = append(e.watchers, w)
		e.route.add(i, w.wants())
	}
	return e
}

// Handle takes in one change. It keeps neither the change nor its connection.
func (e *Engine) Handle(c *conn.Change) {
	e.Advance(c.Time)
	switch {
	case c.Kind == conn.Lost:
		e.stats.Lost += c.Event.Loss.Count
		e.lost = max(e.lost, c.Time)
		return
	case c.Kind == conn.Ended && !c.Conn.Listener():
		e.stats.Connections++
	}
	if c.Kind == conn.Ended && c.Conn.Closed == 0 {
		return // the trace is over, not the connection
	}
	e.learn(c)
	e.pass(c)
	if c.Kind == conn.Ended {
		e.drops.over(c)
	}
}

// lostSince reports whether events may have been lost since at.
func (e *Engine) lostSince(at event.Time) bool { return e.lost >= at && e.lost != 0 }

// learn keeps what the rules have in common.
func (e *Engine) learn(c *conn.Change) {
	if c.Kind == conn.Dropped {
		e.drops.change(e, c.Event)
	}
	if c.Conn == nil {
		return
	}
	e.listen(c)
	if c.Kind == conn.Ended {
		if p := e.ownerOf(c.Conn); p != nil {
			p.ended++
		}
	}
	e.peers.change(e, c)
	e.destinations.change(c)
	e.attempts.change(c)
}

// Advance says that every change up to now has been handed over. A live source
// that may fall silent calls it from time to time.
func (e *Engine) Advance(now event.Time) {
	if now <= e.now && e.now != 0 {
		return
	}
	e.now = max(e.now, now)
	if e.now < e.due {
		return
	}
	e.due = e.now.Add(tickEvery)
	e.destinations.tick()
	for _, w := range e.watchers {
		w.tick()
	}
}

// Fresh returns the findings that arose since they were last asked for, and
// those whose figures have changed by much, each at most once a second.
func (e *Engine) Fresh() []Finding {
	if len(e.changed) == 0 {
		return nil
	}
	var fresh []Finding
	wait := e.changed[:0]
	for _, c := range e.changed {
		if c.told.at != 0 && e.now.Sub(c.told.at) < tellEvery {
			wait = append(wait, c)
			continue
		}
		c.changed = false
		f := c.finding(e)
		if !c.told.differs(&f) {
			continue
		}
		e.complete(c, &f)
		c.told = telling{at: e.now, severity: f.Severity, count: f.Count, withdrawn: f.Withdrawn}
		fresh = append(fresh, f)
	}
	e.changed = wait
	e.rank(fresh)
	return fresh
}

// A telling is a finding as it was last told.
type telling struct {
	at        event.Time // 0: never
	severity  Severity
	count     uint64
	withdrawn bool
}

// differs reports whether f is worth telling after t: it is new, its severity
// has changed, or it is half as much again.
func (t *telling) differs(f *Finding) bool {
	switch {
	case t.at == 0:
		return f.Severity != None && !f.Withdrawn
	case f.Withdrawn || t.withdrawn:
		return f.Withdrawn != t.withdrawn
	}
	return f.Severity != t.severity || f.Count >= t.count+max(1, t.count/2)
}

// Findings returns all findings as they stand now, the worst first.
func (e *Engine) Findings() []Finding {
	var all []Finding
	for _, c := range e.causes {
		if f := c.finding(e); f.Severity != None && !f.Withdrawn {
			e.complete(c, &f)
			all = append(all, f)
		}
	}
	e.rank(all)
	return all
}

// rank puts the worst first.
func (e *Engine) rank(all []Finding) {
	slices.SortFunc(all, func(a, b Finding) int {
		return cmp.Or(
			-cmp.Compare(a.Severity, b.Severity), -cmp.Compare(a.Count, b.Count),
			cmp.Compare(slices.Index(e.rules, a.Rule), slices.Index(e.rules, b.Rule)), cmp.Compare(a.ID, b.ID),
		)
	})
}

// Stats returns the figures as they are now.
func (e *Engine) Stats() Stats { return e.stats }

package timeline

import (
	"maps"
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A Process sums up the connections of one process, those that were dropped
// included, and holds the rows that are drawn of them.
type Process struct {
	Owner conn.Owner // not known: the connections whose process is not known

	Clients, Servers, Others int // connections by role; Others have none that is known
	Open                     int // of these, not ended

	States []StateSummary // that occurred, in the order of tcp.States

	Rows  []Row // to be drawn
	Table bool  // States is to be shown, too
	Shown int   // connections that could be drawn: len(Rows) of them are
	worst time.Duration
}

// Connections returns how many there are of all roles.
func (p *Process) Connections() int { return p.Clients + p.Servers + p.Others }

// A StateSummary says how long the connections of a process stay in a state.
type StateSummary struct {
	State tcp.State

	// Stays that are over and whose begin was seen. Exact up to 4,096 stays;
	// beyond, Median and P99 are too short by at most 0.4 %.
	Count            int
	Median, P99, Max time.Duration

	// Older counts the stays that are over and whose begin was not seen.
	Older int

	// Those in the state now.
	Now          int
	Longest      time.Duration
	LongestKnown bool        // its begin was seen: else it is at least so long
	LongestOf    *Connection // nil where Now is 0
}

// A process is what is known of a process's ended connections for good.
type process struct {
	owner   conn.Owner  // as of the connection that began last
	namer   *Connection // that one
	roles   [3]int      // by conn.Role
	left    int         // of these, still open when they were last heard of
	kept    int         // connections that the Collector still has
	samples [tcp.NumStates]sample
	older   [tcp.NumStates]int
	now     [tcp.NumStates]now
}

// A now is what there is in a state at a moment.
type now struct {
	count   int
	longest time.Duration
	known   bool
	of      *Connection
}

// include adds r, which p owns, to p. A connection that was open when the trace ended stays
// open.
func (p *process) include(r *Connection, at event.Time) {
	if p.namer == nil || before(p.namer, r) {
		p.namer, p.owner = r, r.Owner
	}
	p.roles[r.Role]++
	for i := range r.Spans {
		s := &r.Spans[i]
		switch {
		case !s.State.Valid() || s.State == tcp.Close:
		case s.End == 0:
		case s.Bound() != conn.Exact:
			p.older[s.State]++
		default:
			p.samples[s.State].add(s.End.Sub(s.Begin))
		}
	}
	if r.IsOpen() {
		p.left++
		p.stands(r, at)
	}
}

// stands adds r, which is open, to those that are in their state now.
func (p *process) stands(r *Connection, at event.Time) {
	if !r.State.Valid() || r.State == tcp.Close {
		return
	}
	n := &p.now[r.State]
	n.count++
	d := r.Until(at).Sub(r.Since)
	if n.of == nil || d > n.longest || d == n.longest && before(r, n.of) {
		n.longest, n.known, n.of = d, r.SinceKnown, r
	}
}

func (p *process) clone() *process {
	c := *p
	for s := range c.samples {
		c.samples[s] = p.samples[s].clone()
	}
	return &c
}

func (p *process) summary() *Process {
	s := &Process{
		Owner:   p.owner,
		Clients: p.roles[conn.Client], Servers: p.roles[conn.Server], Others: p.roles[conn.RoleUnknown],
		Open: p.left,
	}
	for _, state := range tcp.States() {
		sample, n := &p.samples[state], &p.now[state]
		if sample.count+p.older[state]+n.count == 0 {
			continue
		}
		s.States = append(s.States, StateSummary{
			State: state, Count: sample.count, Older: p.older[state],
			Median: sample.quantile(50), P99: sample.quantile(99), Max: sample.max,
			Now: n.count, Longest: n.longest, LongestKnown: n.known, LongestOf: n.of,
		})
	}
	return s
}

// summaries returns the summary of each process, by pid. The
// connections are those kept by the Collector.
func (l *Collector) summaries(at event.Time) map[uint32]*Process {
	work := map[uint32]*process{}
	for pid, p := range l.processes {
		work[pid] = p.clone()
	}
	for _, r := range l.byKey {
		if r.over || !l.wants(r) {
			continue
		}
		p := work[r.Owner.Task.PID]
		if p == nil {
			p = &process{}
			work[r.Owner.Task.PID] = p
		}
		p.include(r, at)
	}
	all := make(map[uint32]*Process, len(work))
	for pid, p := range work {
		all[pid] = p.summary()
	}
	return all
}

// Processes returns the summary of each process at a time, those first in
// which something is stuck for longest, then those with most connections.
func (l *Collector) Processes(at event.Time) []*Process {
	summaries := l.summaries(at)
	for r := range l.all {
		if p := summaries[r.Owner.Task.PID]; p != nil {
			p.worst = max(p.worst, r.stuck(at))
		}
	}
	return slices.SortedFunc(maps.Values(summaries), byWorst)
}

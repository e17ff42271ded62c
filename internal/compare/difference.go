package compare

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A Difference is one figure of one process, on both sides.
type Difference struct {
	Process string // its name; "" where it is not known
	Figure  string // "connections", "retransmits rto", "CLOSE_WAIT p99"
	Timed   bool   // it is a time, and not a number

	Before, After uint64 // a number, or nanoseconds

	// Ratio is After to Before, of numbers for the same length of time: 1 is
	// no change, +Inf is new, and 0 is gone.
	Ratio float64
}

const (
	// leastRatio is the least change of a figure that is there on both sides
	// that is worth telling.
	leastRatio = 1.5
	// leastTime is how short a time must not be on both sides to be worth
	// telling: shorter ones change by themselves.
	leastTime = time.Millisecond
)

// Notable reports whether d is worth telling: it is new, gone, or has changed by
// half or more.
func (d *Difference) Notable() bool {
	if d.Timed && max(d.Before, d.After) < uint64(leastTime) {
		return false
	}
	return d.Ratio >= leastRatio || d.Ratio <= 1/leastRatio
}

// Diff compares two traces, process by process in the order of their names, and
// in each figure by figure: first numbers, then times.
func Diff(before, after *Side) (all []Difference) {
	names := map[string]bool{}
	for _, side := range []*Side{before, after} {
		for name := range side.processes {
			names[name] = true
		}
	}
	scale := 1.0
	if before.Lasted > 0 && after.Lasted > 0 {
		scale = float64(before.Lasted) / float64(after.Lasted)
	}
	nothing := &process{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		x, y := cmp.Or(before.processes[name], nothing), cmp.Or(after.processes[name], nothing)
		all = append(all, numbers(name, x, y, scale)...)
		all = append(all, lengths(name, x, y)...)
	}
	return all
}

func numbers(name string, x, y *process, scale float64) (all []Difference) {
	figures := map[string]bool{}
	for _, p := range []*process{x, y} {
		for f := range p.counts {
			figures[f] = true
		}
	}
	for _, f := range slices.Sorted(maps.Keys(figures)) {
		d := Difference{Process: name, Figure: f, Before: x.counts[f], After: y.counts[f]}
		d.Ratio = ratio(d.Before, d.After) * scale
		all = append(all, d)
	}
	return all
}

func lengths(name string, x, y *process) (all []Difference) {
	for s := tcp.Established; s < tcp.NumStates; s++ {
		a, b := &x.times[s], &y.times[s]
		if a.count == 0 || b.count == 0 { // the numbers tell that
			continue
		}
		for _, of := range []struct {
			name string
			of   func(*times) time.Duration
		}{
			{"p50", func(t *times) time.Duration { return t.rank(50) }},
			{"p99", func(t *times) time.Duration { return t.rank(99) }},
			{"max", func(t *times) time.Duration { return t.max }},
		} {
			d := Difference{Process: name, Figure: s.String() + " " + of.name, Timed: true, Before: uint64(of.of(a)), After: uint64(of.of(b))}
			d.Ratio = ratio(d.Before, d.After)
			all = append(all, d)
		}
	}
	return all
}

func ratio(before, after uint64) float64 {
	switch {
	case before == after:
		return 1
	case before == 0:
		return math.Inf(1)
	}
	return float64(after) / float64(before)
}

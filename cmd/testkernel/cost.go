package main

import (
	"fmt"
	"slices"
	"strings"
)

// A spread is the lowest, the median and the highest of some measurements.
type spread struct{ low, median, high float64 }

// spreadOf returns the zero value if there are none.
func spreadOf(list []float64) spread {
	if len(list) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(list))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return spread{sorted[0], median, sorted[len(sorted)-1]}
}

// ratios returns timers by fentry of each pair that was measured one after the
// other.
func (r *results) ratios() (list []float64) {
	fentry, timers := r.cost["fentry"], r.cost["timers"]
	for i := range min(len(fentry), len(timers)) {
		list = append(list, timers[i]/fentry[i])
	}
	return list
}

// cheaper says which way costs less, where all pairs agree.
func (s spread) cheaper() string {
	switch {
	case s.low > 1:
		return "fentry"
	case s.high < 1:
		return "timers"
	}
	return "not told apart"
}

const costHead = `
## What each way costs

What all BPF programs together took for a connection that is opened, used and closed (` + "`BenchmarkHooks`" + `, 200 a
second), in an emulated machine with nothing beside: the median of %d measurements of each way, taken in turn, each way
as often first as second. A ratio is of two neighbours: the lowest, the median and the highest. Which of the ways costs
less is said where all ratios agree.

`

// writeCosts compares what the ways of seeing minisockets take.
func writeCosts(b *strings.Builder, all []*results) {
	rounds := 0
	for _, r := range all {
		rounds = max(rounds, len(r.cost["timers"]))
	}
	if rounds == 0 {
		return
	}
	fmt.Fprintf(b, costHead, rounds)
	row(b, "kernel", "fentry", "timers", "timers / fentry", "less is")
	row(b, "---", "---:", "---:", "---:", "---")
	for _, r := range all {
		cells := []string{r.label(), "", "", "", ""}
		for i, which := range modes {
			if s := spreadOf(r.cost[which]); s.median > 0 {
				cells[i+1] = fmt.Sprintf("%.0f ns", s.median)
			}
		}
		if list := r.ratios(); len(list) > 0 {
			s := spreadOf(list)
			cells[3], cells[4] = fmt.Sprintf("%.2f, %.2f, %.2f", s.low, s.median, s.high), s.cheaper()
		}
		row(b, cells...)
	}
}

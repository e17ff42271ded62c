//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tables writes down what was measured.
func (b *bench) tables(full, paced, timed series) string {
	var out strings.Builder
	fmt.Fprintf(&out, "Linux %s, %d processors, %s; %d rounds of %v, each tracer once a round, another one first in each.\n"+
		"Medians; in brackets the least and the most.\n\n",
		release(), runtime.NumCPU(), time.Now().UTC().Format(time.DateOnly), b.options.rounds, b.options.duration)
	b.keep(&out, full)
	b.spend(&out, paced, timed)
	for _, s := range b.subjects {
		if why := b.broken[s.name]; why != "" {
			fmt.Fprintf(&out, "`%s` %s.\n\n", s.name, why)
		}
	}
	if len(b.missing) > 0 {
		fmt.Fprintf(&out, "Not on this host: %s.\n\n", strings.Join(b.missing, ", "))
	}
	return out.String()
}

// keep writes what is left of the traffic at full speed.
func (b *bench) keep(out *strings.Builder, full series) {
	fmt.Fprintf(out, "At full speed, %.0f connections a second where nothing traces:\n\n", median(rates(full[nothing])))
	out.WriteString("| | rate kept | processor time a connection | memory at most | events lost |\n| --- | --- | --- | --- | --- |\n")
	for _, s := range b.subjects {
		turns := full[s.name]
		if len(turns) == 0 || s.name == nothing {
			continue
		}
		kept := ratios(turns, full[nothing])
		fmt.Fprintf(out, "| %s | %.3f (%.3f-%.3f) | %.2f µs | %.0f MB | %s |\n", s.doc, median(kept), slices.Min(kept), slices.Max(kept),
			median(each(turns, func(t turn) float64 { return perConnection(t.cost.cpu, t) })),
			median(each(turns, func(t turn) float64 { return float64(t.cost.memory) / 1e6 })), losses(&s, turns))
	}
	out.WriteString("\n")
}

// spend writes what a tracer uses up at the given rate.
func (b *bench) spend(out *strings.Builder, paced, timed series) {
	fmt.Fprintf(out, "At %d connections a second; BPF's time and calls by the kernel's own count, which adds some 30 ns to each call:\n\n", b.options.rate)
	out.WriteString("| | processor time a connection | of one processor | BPF time a connection | BPF calls a connection | events lost |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, s := range b.subjects {
		turns := paced[s.name]
		if len(turns) == 0 || s.name == nothing {
			continue
		}
		fmt.Fprintf(out, "| %s | %.2f µs | %.2f %% | %.2f µs | %.1f | %s |\n", s.doc,
			median(each(turns, func(t turn) float64 { return perConnection(t.cost.cpu, t) })),
			median(each(turns, func(t turn) float64 { return 100 * float64(t.cost.cpu) / float64(b.options.duration) })),
			median(each(timed[s.name], func(t turn) float64 { return perConnection(t.cost.bpf, t) })),
			median(each(timed[s.name], func(t turn) float64 { return float64(t.cost.calls) / float64(t.churn.Count) })),
			losses(&s, turns))
	}
	out.WriteString("\n")
}

func each(turns []turn, figure func(turn) float64) []float64 {
	figures := make([]float64, len(turns))
	for i, t := range turns {
		figures[i] = figure(t)
	}
	return figures
}

func rates(turns []turn) []float64 { return each(turns, func(t turn) float64 { return t.churn.Rate }) }

// ratios compares turns with those of the same rounds.
func ratios(turns, with []turn) []float64 {
	var found []float64
	for i := range min(len(turns), len(with)) {
		found = append(found, turns[i].churn.Rate/with[i].churn.Rate)
	}
	return found
}

// perConnection is in µs.
func perConnection(d time.Duration, t turn) float64 {
	return float64(d) / float64(time.Microsecond) / float64(t.churn.Count)
}

// losses sums up what a tracer says it lost. The peers do not say.
func losses(s *subject, turns []turn) string {
	if !s.ours {
		return "not told"
	}
	sum := 0
	for _, t := range turns {
		sum += t.lost
	}
	return fmt.Sprint(sum)
}

func median(figures []float64) float64 {
	if len(figures) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(figures))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return os.Getenv("OSTYPE")
	}
	return unix.ByteSliceToString(u.Release[:])
}

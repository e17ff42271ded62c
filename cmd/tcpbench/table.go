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
func (b *bench) tables() string {
	var out strings.Builder
	fmt.Fprintf(&out, "Linux %s, %d processors, %s; %d rounds of %v, each tracer once a round, another one first in each.\n"+
		"Medians; in brackets the least and the most.\n\n",
		release(), runtime.NumCPU(), time.Now().UTC().Format(time.DateOnly), b.Rounds, b.options.duration)
	b.kept(&out)
	b.spent(&out)
	b.rest(&out)
	for _, s := range b.subjects {
		if why := b.Broken[s.name]; why != "" {
			fmt.Fprintf(&out, "`%s` %s.\n\n", s.name, why)
		}
	}
	if len(b.missing) > 0 {
		fmt.Fprintf(&out, "Not on this host: %s.\n\n", strings.Join(b.missing, ", "))
	}
	return out.String()
}

// rows calls row for each tracer that has had turns at the speed.
func (b *bench) rows(speed string, row func(s *subject, turns []turn)) {
	for i := range b.subjects {
		s := &b.subjects[i]
		if turns := b.Series[speed][s.name]; len(turns) > 0 && s.argv != nil {
			row(s, turns)
		}
	}
}

// kept writes what is left of the traffic at full speed.
func (b *bench) kept(out *strings.Builder) {
	untraced := b.Series[atFull][nothing]
	fmt.Fprintf(out, "At full speed, %.0f connections a second where nothing traces:\n\n", median(rates(untraced)))
	out.WriteString("| | rate kept | processor time a connection | memory at most | events lost |\n| --- | --- | --- | --- | --- |\n")
	b.rows(atFull, func(s *subject, turns []turn) {
		kept := ratios(turns, untraced)
		fmt.Fprintf(out, "| %s | %.3f (%.3f-%.3f) | %.2f µs | %.0f MB | %s |\n", s.doc, median(kept), slices.Min(kept), slices.Max(kept),
			median(each(turns, func(t turn) float64 { return perConnection(t.Cost.CPU, t) })),
			median(each(turns, megabytes)), losses(s, turns))
	})
	out.WriteString("\n")
}

// spent writes what a tracer uses up at the given rate.
func (b *bench) spent(out *strings.Builder) {
	timed := b.Series[atTimed]
	clock := b.clock()
	fmt.Fprintf(out, "At %d connections a second; BPF's time and calls by the kernel's own count. Its clock says %.0f ns (%.0f-%.0f) of a call "+
		"that does nothing, which the net time is without:\n\n", b.options.rate, median(clock), slices.Min(clock), slices.Max(clock))
	out.WriteString("| | processor time a connection | of one processor | BPF time a connection, net | as counted | BPF calls a connection | events lost |\n" +
		"| --- | --- | --- | --- | --- | --- | --- |\n")
	b.rows(atRate, func(s *subject, turns []turn) {
		fmt.Fprintf(out, "| %s | %.2f µs | %.2f %% | %.2f µs | %.2f µs | %.1f | %s |\n", s.doc,
			median(each(turns, func(t turn) float64 { return perConnection(t.Cost.CPU, t) })),
			median(each(turns, b.share)),
			median(each(timed[s.name], func(t turn) float64 { return perConnection(t.Cost.BPF-t.clockTime(), t) })),
			median(each(timed[s.name], func(t turn) float64 { return perConnection(t.Cost.BPF, t) })),
			median(each(timed[s.name], func(t turn) float64 { return float64(t.Cost.Calls) / float64(t.Churn.Count) })),
			losses(s, turns))
	})
	out.WriteString("\n")
}

// clock returns what the kernel's clock said of a call that does nothing, in ns.
func (b *bench) clock() []float64 {
	var found []float64
	for _, turns := range b.Series[atTimed] {
		found = append(found, each(turns, func(t turn) float64 { return t.Clock })...)
	}
	return found
}

// rest writes what a tracer costs where there is nothing to trace.
func (b *bench) rest(out *strings.Builder) {
	fmt.Fprintf(out, "With nothing to trace; `tcptrace` is a file of %.1f MB:\n\n", float64(b.binary)/1e6)
	out.WriteString("| | of one processor | memory at most | until it traces |\n| --- | --- | --- | --- |\n")
	b.rows(atIdle, func(s *subject, turns []turn) {
		ready := "not told"
		if s.ours {
			ready = fmt.Sprintf("%.2f s", median(each(turns, func(t turn) float64 { return t.Ready.Seconds() })))
		}
		fmt.Fprintf(out, "| %s | %.2f %% | %.0f MB | %s |\n", s.doc, median(each(turns, b.share)), median(each(turns, megabytes)), ready)
	})
	out.WriteString("\n")
}

// share is the processor time of a turn in percent of its length.
func (b *bench) share(t turn) float64 { return 100 * float64(t.Cost.CPU) / float64(b.options.duration) }

func megabytes(t turn) float64 { return float64(t.Cost.Memory) / 1e6 }

func each(turns []turn, figure func(turn) float64) []float64 {
	figures := make([]float64, len(turns))
	for i, t := range turns {
		figures[i] = figure(t)
	}
	return figures
}

func rates(turns []turn) []float64 { return each(turns, func(t turn) float64 { return t.Churn.Rate }) }

// ratios compares turns with those of the same rounds.
func ratios(turns, with []turn) []float64 {
	var found []float64
	for i := range min(len(turns), len(with)) {
		found = append(found, turns[i].Churn.Rate/with[i].Churn.Rate)
	}
	return found
}

// perConnection is in µs.
func perConnection(d time.Duration, t turn) float64 {
	return float64(d) / float64(time.Microsecond) / float64(t.Churn.Count)
}

// losses sums up what a tracer says it lost. The peers do not say.
func losses(s *subject, turns []turn) string {
	if !s.ours {
		return "not told"
	}
	sum := 0
	for _, t := range turns {
		sum += t.Lost
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

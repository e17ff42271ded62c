package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Pairs are compared with each other, never with those of another moment.
func TestCosts_OfPairs(t *testing.T) {
	r := newResults("6.1")
	r.cost["fentry"] = []float64{100, 200, 400}
	r.cost["timers"] = []float64{110, 240, 420}
	if diff := cmp.Diff([]float64{1.1, 1.2, 1.05}, r.ratios()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var b strings.Builder
	writeCosts(&b, []*results{r})
	const want = "| 6.1 | 200 ns | 240 ns | 1.05, 1.10, 1.20 | fentry |\n"
	if !strings.HasSuffix(b.String(), want) {
		t.Errorf("no line %q in:\n%s", want, b.String())
	}
	for list, want := range map[[2]float64]string{{0.9, 1.2}: "not told apart", {0.8, 0.9}: "timers"} {
		if got := spreadOf(list[:]).cheaper(); got != want {
			t.Errorf("%v: %s, want %s", list, got, want)
		}
	}
}

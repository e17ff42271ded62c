//go:build linux

package endtoend

import (
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// What our side closed and the peer does not is told apart: a half-close, which
// nothing ends, and an orphan, which tcp_fin_timeout does; with the time that it
// really lasted.
func TestWhy_FinWait2Kinds(t *testing.T) {
	if testing.Short() {
		t.Skip("it lasts several seconds")
	}
	t.Parallel()
	for _, test := range []struct {
		story    string
		params   lab.Params
		kind     string
		timedOut any
	}{
		{"half-close", lab.Params{Hold: 11 * time.Second}, "half-close", nil},
		{"orphan-fin-wait2", lab.Params{}, "orphan", float64(n)},
	} {
		t.Run(test.kind, func(t *testing.T) {
			t.Parallel()
			truth, tr := playWhole(t, test.story, test.params, "why", "-o", "json")
			var least, most time.Duration
			for _, c := range truth.Conns {
				for _, s := range c.ClientStays {
					least, most = max(least, s.Min), max(most, s.Max)
				}
			}
			found := 0
			for _, f := range tr.findings() {
				if f.Rule != "fin-wait2-stuck" {
					continue
				}
				found++
				if f.Count != n || f.Evidence["kind"] != test.kind || f.Evidence["timed_out"] != test.timedOut || f.Evidence["now"] != 0.0 {
					t.Errorf("%d: %v", f.Count, f.Evidence)
				}
				if oldest := time.Duration(f.Evidence["oldest_ns"].(float64)); oldest < least || oldest > most {
					t.Errorf("it lasted %v at most, want %v to %v", oldest, least, most)
				}
			}
			if found != 1 {
				t.Errorf("it finds it %d times", found)
			}
		})
	}
}

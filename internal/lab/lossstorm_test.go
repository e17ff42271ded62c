//go:build linux

package lab_test

import (
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// TestStorms: each storm makes the kernel count what the story says that it
// does. Needs root.
func TestStorms(t *testing.T) {
	needNamespaces(t)
	for _, tc := range []struct {
		story, counter string
		side, least    int
	}{
		{"retransmit-storm", "RetransSegs", 0, 23}, // each client's word, once at least
		{"synack-storm", "RetransSegs", 1, 23},
		{"reset-storm", "OutRsts", 1, 2 * 23},
	} {
		for _, v6 := range families() {
			t.Run(tc.story, func(t *testing.T) {
				t.Parallel()
				truth, err := lookup(t, tc.story).Run(t.Context(), lab.Params{N: 23, Hold: 100 * time.Millisecond, IPv6: v6})
				if err != nil {
					t.Fatal(err)
				}
				for side, ns := range truth.NetNS {
					got := ns.Counters[tc.counter]
					if side == tc.side && got < uint64(tc.least) || tc.counter == "OutRsts" && side != tc.side && got != 0 {
						t.Errorf("%s: %s is %d", ns.Role, tc.counter, got)
					}
				}
				if truth.Rate <= 0 || truth.Elapsed < 100*time.Millisecond {
					t.Errorf("%v a second for %v", truth.Rate, truth.Elapsed)
				}
			})
		}
	}
}

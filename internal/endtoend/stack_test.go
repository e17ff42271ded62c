//go:build linux

package endtoend

import (
	"strings"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// A leak names the code that accepted what leaks, and the one that connected it.
func TestWhy_Stacks(t *testing.T) {
	if testing.Short() {
		t.Skip("it lasts several seconds")
	}
	for _, test := range []struct {
		story string
		hold  time.Duration
		rule  string
		want  map[string][]string // functions of the lab, the innermost first, by call
	}{
		{"close-wait-leak", 7 * time.Second, "close-wait-leak", map[string][]string{"accept": {"(*socket).accept", "(*actor).accept", "playExiter"}}},
		{"half-close", 12 * time.Second, "fin-wait2-stuck", map[string][]string{"connect": {"(*socket).startConnect", "(*stage).begin", "playHalfClose"}}},
	} {
		t.Run(test.story, func(t *testing.T) {
			_, tr := playWhole(t, test.story, lab.Params{N: 7, Hold: test.hold}, "why", "--stacks", "-o", "json")
			for _, f := range tr.findings() {
				if f.Rule != test.rule {
					continue
				}
				t.Logf("%d of %d: %s() of %q", f.Stack.Count, f.Stack.Of, f.Stack.Call, f.Stack.Functions)
				want, ok := test.want[f.Stack.Call]
				if !ok || f.Stack.Count != 7 || f.Stack.Of != 7 {
					t.Errorf("%d of %d by %q", f.Stack.Count, f.Stack.Of, f.Stack.Call)
				}
				at := 0
				for _, name := range f.Stack.Functions {
					if at < len(want) && strings.HasPrefix(name, "github.com/tcptrace/tcptrace/internal/lab."+want[at]+" (") {
						at++
					}
				}
				if at < len(want) {
					t.Errorf("%s is not among its callers", want[at])
				}
				return
			}
			t.Errorf("it does not find %s", test.rule)
		})
	}
}

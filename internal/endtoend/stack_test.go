//go:build linux

package endtoend

import (
	"strings"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// checkStack checks that all seven connections of a finding were opened by the
// call, and that these functions of the lab are among its callers, in this order.
func (f *finding) checkStack(t *testing.T, call string, functions ...string) {
	t.Helper()
	if f.Stack.Call != call || f.Stack.Count != 7 || f.Stack.Of != 7 {
		t.Errorf("%d of %d by %q, want 7 of 7 by %q", f.Stack.Count, f.Stack.Of, f.Stack.Call, call)
	}
	for _, name := range f.Stack.Functions {
		if len(functions) > 0 && strings.HasPrefix(name, "github.com/tcptrace/tcptrace/internal/lab."+functions[0]+" (") {
			functions = functions[1:]
		}
	}
	if len(functions) > 0 {
		t.Errorf("%s is not among its callers: %q", functions[0], f.Stack.Functions)
	}
}

// What a process has half closed, and keeps, names the code that connected it.
func TestWhy_StackOfConnect(t *testing.T) {
	if testing.Short() {
		t.Skip("it lasts several seconds")
	}
	t.Parallel()
	_, tr := playWhole(t, "half-close", lab.Params{N: 7, Hold: 12 * time.Second}, "why", "--stacks", "-o", "json")
	for _, f := range tr.findings() {
		if f.Rule == "fin-wait2-stuck" {
			f.checkStack(t, "connect", "(*socket).startConnect", "(*stage).begin", "playHalfClose")
			return
		}
	}
	t.Error("it does not find fin-wait2-stuck")
}

//go:build linux

package probe_test

import (
	"testing"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/probe"
)

// A timeout is one, also where the process has asked for the error so early that
// the socket closes without one.
func TestLive_Timeout_WhoseErrorWasTaken(t *testing.T) {
	truth, seen := watch(t, "syn-unanswered-asked", lab.Params{N: 23}, probe.Options{})
	taken := 0
	for _, l := range seen.lives {
		if l.conn.Err != event.ETIMEDOUT {
			taken++
		}
	}
	t.Logf("%d of %d errors were taken before the socket closed", taken, len(seen.lives))
	compare(t, truth, seen)
}

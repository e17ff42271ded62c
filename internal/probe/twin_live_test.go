//go:build linux

package probe_test

import (
	"testing"

	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/probe"
)

// Of two children of one request one is taken back, and that is not the end of
// the connection: each is known once, whole, as it was.
func TestLive_TwoChildrenOfOneRequest(t *testing.T) {
	families(t, func(t *testing.T, params lab.Params) {
		params.N = 307
		truth, seen := watch(t, "two-acks", params, probe.Options{})
		compare(t, truth, seen)
		var made uint64
		for _, ns := range truth.NetNS {
			made += ns.Counters["PassiveOpens"]
		}
		t.Logf("%d of %d requests had two children", made-uint64(params.N), params.N)
	})
}

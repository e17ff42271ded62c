//go:build linux

package lab_test

import (
	"testing"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// TestLoss: what the wire saw sent again is what the kernels counted, and no
// less than what was lost. Needs root.
func TestLoss(t *testing.T) {
	needNamespaces(t)
	for _, name := range []string{"loss-tail", "loss-middle", "loss-acks", "loss-fin", "loss-syn", "loss-synack", "loss-dead", "loss-some"} {
		for _, v6 := range families() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				story := lookup(t, name)
				truth, err := story.Run(t.Context(), lab.Params{IPv6: v6})
				if err != nil {
					t.Fatal(err)
				}
				client, server, _ := story.Plans()
				sums := [2]int{}
				for i, c := range truth.Conns {
					sums[0] += c.ClientResent.Sum()
					sums[1] += c.ServerResent.Sum()
					if c.ClientResent.Sum() < client.Sum() || c.ServerResent.Sum() < server.Sum() {
						t.Errorf("connection %d: %+v and %+v sent again, at least %+v and %+v are planned", i, c.ClientResent, c.ServerResent, client, server)
					}
				}
				for side, ns := range truth.NetNS {
					if got := ns.Counters["RetransSegs"]; got != uint64(sums[side]) {
						t.Errorf("%s: the wire saw %d sent again, the kernel counts %d", ns.Role, sums[side], got)
					}
				}
			})
		}
	}
}

//go:build linux

package lab_test

import (
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// TestScopes: the clients of each story send again what they said, all of them,
// to as many peers, from as many processes as it says. Needs root.
func TestScopes(t *testing.T) {
	needNamespaces(t)
	const n = 23
	for _, tc := range []struct {
		story                string
		processes, addresses int
	}{
		{"storm-network", 1, 1}, {"storm-process", 1, 1}, {"storm-device", 3, 1}, {"storm-host", 3, 2},
	} {
		for _, v6 := range families() {
			t.Run(tc.story, func(t *testing.T) {
				t.Parallel()
				truth, err := lookup(t, tc.story).Run(t.Context(), lab.Params{N: n, Hold: 100 * time.Millisecond, IPv6: v6})
				if err != nil {
					t.Fatal(err)
				}
				processes, addresses, peers := map[int]bool{}, map[string]bool{}, map[string]bool{}
				for _, c := range truth.Conns {
					processes[c.ClientPID], addresses[c.Client.Addr().String()], peers[c.Server.String()] = true, true, true
				}
				if len(processes) != tc.processes || len(addresses) != tc.addresses || len(peers) != n {
					t.Errorf("%d processes, %d addresses, %d peers; want %d, %d, %d",
						len(processes), len(addresses), len(peers), tc.processes, tc.addresses, n)
				}
				if got := truth.NetNS[0].Counters["RetransSegs"]; got < n {
					t.Errorf("RetransSegs is %d, want %d or more", got, n)
				}
			})
		}
	}
}

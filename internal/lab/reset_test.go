//go:build linux

package lab_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// opens is what n connections move by which n handshakes are completed.
func opens(n uint64) counts { return counts{"ActiveOpens": n, "PassiveOpens": n} }

// resetExpectations are those of the stories about resets.
var resetExpectations = map[string]expectation{
	"reset-linger": {counts: func(n uint64) counts {
		return opens(n).with("EstabResets", 2*n).with("OutRsts", n).with("TCPAbortOnData", n)
	}},
	"reset-unread": {counts: func(n uint64) counts {
		return opens(n).with("EstabResets", 2*n).with("OutRsts", n).with("TCPAbortOnClose", n)
	}},
	"reset-shut-rd": {counts: func(n uint64) counts {
		return opens(n).with("EstabResets", 2*n).with("OutRsts", n).with("TCPAbortOnClose", n)
	}},
	"reset-disconnect": {counts: func(n uint64) counts {
		return opens(n).with("EstabResets", 2*n).with("OutRsts", n)
	}},
	"reset-half-closed": {counts: func(n uint64) counts {
		return opens(n).with("EstabResets", n).with("OutRsts", n).with("TCPAbortOnClose", n)
	}},
	"reset-linger2-close": {counts: func(n uint64) counts {
		return opens(n).with("EstabResets", n).with("OutRsts", n).with("TCPAbortOnLinger", n)
	}},
	"reset-linger2": {counts: func(n uint64) counts {
		return opens(n).with("EstabResets", n).with("OutRsts", n).with("TCPAbortOnData", n)
	}},
	"reset-orphan-data": {counts: func(n uint64) counts {
		return opens(n).with("EstabResets", n).with("OutRsts", n).with("TW", n)
	}, cause: "reset"},
	"reset-closed-data": {counts: func(n uint64) counts {
		return opens(n).with("EstabResets", n).with("OutRsts", n).with("TCPAbortOnData", n)
	}},
	"reset-gone-client": {counts: func(n uint64) counts {
		return opens(n).with("EstabResets", 2*n).with("OutRsts", 2*n).with("TCPAbortOnData", n)
	}},
	"reset-gone-server": {counts: func(n uint64) counts {
		return opens(n).with("EstabResets", 2*n).with("OutRsts", 2*n).with("TCPAbortOnData", n)
	}},
	"reset-keepalive": {counts: func(n uint64) counts {
		return opens(n).with("EstabResets", 2*n).with("OutRsts", 2*n).with("TCPAbortOnTimeout", n).with("TCPAbortOnData", n)
	}},
	"reset-user-timeout": {counts: func(n uint64) counts {
		return opens(n).with("EstabResets", 2*n).with("OutRsts", n).with("TCPAbortOnTimeout", n).with("TCPAbortOnData", n)
	}},
	"reset-killed": {counts: func(n uint64) counts {
		return opens(n).with("EstabResets", 2*n).with("OutRsts", n)
	}},
	"reset-firewall": {counts: func(n uint64) counts {
		return opens(n).with("EstabResets", 2*n).with("OutRsts", n).with("TCPAbortOnData", n)
	}},
	"reset-reject": {counts: func(n uint64) counts {
		return counts{"ActiveOpens": n, "AttemptFails": n}
	}},
	"reset-bad-ack": {
		counts: func(n uint64) counts { return plain(n).with("OutRsts", n) },
		client: tcp.TimeWait, cause: "netns_exit",
	},
	"reset-listener-closed": {
		counts: func(n uint64) counts { return opens(n).with("EstabResets", 2*n).with("OutRsts", n) },
		client: tcp.Established, server: tcp.Established,
	},
	"reset-listener-handshake": {
		counts: func(n uint64) counts { return counts{"ActiveOpens": n, "EstabResets": n, "OutRsts": n} },
		client: tcp.Established, server: tcp.SynRecv,
	},
	"reset-accept-overflow": {counts: func(n uint64) counts {
		return counts{
			"ActiveOpens": n, "PassiveOpens": 1, "EstabResets": n + 1, "OutRsts": n,
			"ListenOverflows": n - 1, "ListenDrops": n - 1, "EmbryonicRsts": n - 1, "TCPAbortOnData": 1,
		}
	}},
}

// What a story says of its RSTs has the form that it promises.
func TestRun_Resets(t *testing.T) {
	needNamespaces(t)
	truth, err := lookup(t, "reset-gone-server").Run(t.Context(), lab.Params{N: 2, IPv6: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []lab.TruthReset{
		{From: "server", Cause: "reset-linger", Lost: true, PID: truth.Conns[0].ServerPID},
		{From: "server", Cause: "reset-after-close"},
	}
	for i, c := range truth.Conns {
		if diff := cmp.Diff(want, c.Resets); diff != "" {
			t.Errorf("connection %d (-want +got):\n%s", i, diff)
		}
		if c.Client.Addr() != netip.MustParseAddr("fd74:6c61:6200::1") {
			t.Errorf("connection %d: client %v", i, c.Client)
		}
	}
}

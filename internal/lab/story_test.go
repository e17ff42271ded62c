//go:build linux

package lab_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// audited are the kernel's counters that a story must move by exactly what its
// row below says, zero included.
var audited = []string{
	"ActiveOpens", "PassiveOpens", "AttemptFails", "EstabResets", "CurrEstab", "OutRsts",
	"TW", "TWKilled", "TWRecycled", "TCPTimeWaitOverflow", "EmbryonicRsts",
	"TCPAbortOnData", "TCPAbortOnClose", "TCPAbortOnTimeout", "TCPAbortOnLinger", "TCPAbortOnMemory", "ListenDrops", "ListenOverflows",
	"TCPReqQFullDrop", "TCPReqQFullDoCookies", "SyncookiesSent", "SyncookiesRecv",
}

type counts map[string]uint64

// plain is what N connections move that open and end in the ordinary way.
func plain(n uint64) counts { return counts{"ActiveOpens": n, "PassiveOpens": n, "TW": n} }

func reused(n uint64) counts { return counts{"ActiveOpens": 2 * n, "PassiveOpens": 2 * n, "TW": 2 * n} }

// with returns c with more in it.
func (c counts) with(name string, n uint64) counts {
	if c[name] = n; n == 0 {
		delete(c, name)
	}
	return c
}

// An expectation is what the kernel must say of n connections of a story.
type expectation struct {
	counts  func(n uint64) counts
	conns   int                   // per n; 0: 1
	refused func(n uint64) counts // instead of counts: for the n of which no socket tells. Half of all, or one less, on older kernels
	// The state of either end when Held is called; 0: there is no socket.
	client, server tcp.State
	heldByChance   bool // the state when Held is called is not determined
	strayResets    bool // RSTs to nobody are sent by chance, where two processors overtake each other
	othersConnect  bool // the clients are other processes
	cause          string
}

// served is what comes of N clients that a server of several processes answers,
// and closes first.
var served = expectation{counts: plain, server: tcp.TimeWait, cause: "netns_exit", strayResets: true}

var expectations = map[string]expectation{
	"client-close": {counts: plain, client: tcp.TimeWait, cause: "netns_exit"},
	"server-close": {counts: plain, server: tcp.TimeWait, cause: "netns_exit"},
	"half-close":   {counts: plain, client: tcp.FinWait2, server: tcp.CloseWait, cause: "netns_exit"},
	"close-wait":   {counts: plain, client: tcp.FinWait2, server: tcp.CloseWait, cause: "netns_exit"},
	"orphan-fin-wait2": {
		// The kernel counts a timewait socket of at most 4 s as TWKilled when
		// it begins (inet_twsk_schedule).
		counts: func(n uint64) counts { return plain(n).with("TW", 0).with("TWKilled", n).with("OutRsts", n) },
		client: tcp.FinWait2, server: tcp.CloseWait, cause: "expired",
	},
	"orphan-fin-wait2-fin": {
		counts: func(n uint64) counts { return plain(n).with("TW", 0).with("TWKilled", n) },
		client: tcp.FinWait2, server: tcp.CloseWait, cause: "netns_exit",
	},
	"simultaneous-close": {
		counts: func(n uint64) counts { return plain(n).with("TW", 2*n) },
		client: tcp.TimeWait, server: tcp.TimeWait, cause: "netns_exit",
	},
	"refused": {counts: func(n uint64) counts {
		return counts{"ActiveOpens": n, "AttemptFails": n, "OutRsts": n}
	}},
	"syn-unanswered": {
		counts: func(n uint64) counts {
			return counts{"ActiveOpens": n, "AttemptFails": n, "TCPAbortOnTimeout": n}
		},
		client: tcp.SynSent,
	},
	"syn-firewalled": {
		counts: func(n uint64) counts {
			return counts{"ActiveOpens": n, "AttemptFails": n, "TCPAbortOnTimeout": n}
		},
		client: tcp.SynSent,
	},
	"slow-handshake": {counts: plain, heldByChance: true, cause: "netns_exit"},
	"reset-in-handshake": {
		counts: func(n uint64) counts {
			return counts{"ActiveOpens": n, "AttemptFails": n, "OutRsts": n, "EmbryonicRsts": n}
		},
		client: tcp.SynSent, server: tcp.SynRecv,
	},
	"handshake-abandoned": {
		counts: func(n uint64) counts { return counts{"ActiveOpens": n} },
		server: tcp.SynRecv,
	},
	"simultaneous-open": {
		counts: func(n uint64) counts { return counts{"ActiveOpens": 2 * n, "TW": n} },
		client: tcp.TimeWait, cause: "netns_exit",
	},
	"time-wait-expiry":     {counts: plain, client: tcp.TimeWait, cause: "expired"},
	"time-wait-netns-exit": {counts: plain, client: tcp.TimeWait, cause: "netns_exit"},
	"time-wait-reuse-connect": {
		counts: func(n uint64) counts { return reused(n).with("TWRecycled", n) },
		conns:  2, client: tcp.TimeWait, cause: "reused",
	},
	"time-wait-reuse-ephemeral": {
		counts: func(n uint64) counts { return reused(n).with("TWRecycled", n) },
		conns:  2, client: tcp.TimeWait, cause: "reused",
	},
	"time-wait-reuse-syn": {counts: reused, conns: 2, server: tcp.TimeWait, cause: "reused"},
	"time-wait-reset": {
		counts: func(n uint64) counts { return plain(n).with("OutRsts", n) },
		client: tcp.TimeWait, cause: "reset",
	},
	"time-wait-overflow": {
		counts:       func(n uint64) counts { return plain(n).with("TW", n/2).with("TCPTimeWaitOverflow", n-n/2) },
		heldByChance: true, // which of them got a timewait socket: see TestRun_Overflow
		cause:        "netns_exit",
	},
	"prefork":         served,
	"threads":         served,
	"goroutines":      served,
	"reuseport":       served,
	"fd-passing":      served,
	"fork-handover":   served,
	"io-uring-accept": served,
	"http":            served,
	"writes-first":    {counts: plain, client: tcp.Established, server: tcp.Established, cause: "netns_exit", strayResets: true},
	"process-exit":    {counts: plain, client: tcp.Established, server: tcp.Established, cause: "netns_exit", strayResets: true},
	"process-killed": {
		counts: func(n uint64) counts {
			return counts{"ActiveOpens": n, "PassiveOpens": n, "EstabResets": 2 * n, "OutRsts": n, "TCPAbortOnClose": n}
		},
		client: tcp.Established, server: tcp.Established,
	},
	"idle": {
		counts: plain, client: tcp.Established, server: tcp.Established, cause: "netns_exit",
		strayResets: true, othersConnect: true,
	},
	"churn": {counts: plain},
	"crowd": {counts: plain},

	"close-wait-leak": {counts: plain, client: tcp.FinWait2, server: tcp.CloseWait, cause: "netns_exit"},
	"fd-exhaustion":   {counts: plain, client: tcp.Established, server: tcp.Established, cause: "netns_exit", strayResets: true},
	"fin-wait1-stuck": {
		counts: func(n uint64) counts {
			return counts{"ActiveOpens": n, "PassiveOpens": n, "TCPAbortOnTimeout": n, "EstabResets": n}
		},
		client: tcp.FinWait1, server: tcp.Established,
	},
	"last-ack-stuck": {
		counts: func(n uint64) counts { return plain(n).with("TCPAbortOnTimeout", n) },
		client: tcp.TimeWait, server: tcp.LastAck, cause: "netns_exit",
	},
	"closing-stuck": {
		counts: func(n uint64) counts { return plain(n).with("TCPAbortOnTimeout", n) },
		client: tcp.Closing, server: tcp.TimeWait, cause: "netns_exit",
	},
	"time-wait-pressure":        {counts: plain, client: tcp.TimeWait, cause: "netns_exit"},
	"ephemeral-port-exhaustion": {counts: func(n uint64) counts { return plain((n - n/3) &^ 1) }, heldByChance: true, cause: "netns_exit"},
	"ephemeral-port-pool":       {counts: plain, client: tcp.Established, server: tcp.Established, cause: "netns_exit"},
	"accept-queue-overflow": {
		counts: func(n uint64) counts {
			room, dropped := (n+1)/2, n/2
			return counts{
				"ActiveOpens": n, "PassiveOpens": room, "TW": room, "AttemptFails": dropped, "TCPAbortOnTimeout": dropped,
				"ListenOverflows": 2 * dropped, "ListenDrops": 2 * dropped,
			}
		},
		heldByChance: true, cause: "netns_exit", strayResets: true,
	},
	"accept-queue-overflow-abort": {
		counts: func(n uint64) counts {
			taken := (n+1)/2 + 1
			return counts{
				"ActiveOpens": n, "PassiveOpens": taken, "TW": taken, "EstabResets": n - taken, "OutRsts": n - taken,
				"ListenOverflows": n - taken, "ListenDrops": n - taken, "EmbryonicRsts": n - taken,
			}
		},
		heldByChance: true, cause: "netns_exit",
	},
	"syn-flood": {
		refused: func(n uint64) counts { return counts{"ListenDrops": n, "TCPReqQFullDrop": n} },
		server:  tcp.SynRecv,
	},
	"syn-flood-cookies": {
		refused: func(n uint64) counts { return counts{"SyncookiesSent": n, "TCPReqQFullDoCookies": n} },
		server:  tcp.SynRecv,
	},
	"connect-scan": {
		counts: func(n uint64) counts {
			return counts{"ActiveOpens": n, "AttemptFails": n, "OutRsts": n - n/2, "TCPAbortOnTimeout": n / 2}
		},
		heldByChance: true,
	},
	"dead-peer-keepalive": {
		counts: func(n uint64) counts {
			return counts{"ActiveOpens": n, "PassiveOpens": n, "EstabResets": 2 * n, "OutRsts": n, "TCPAbortOnTimeout": n}
		},
		client: tcp.Established,
	},
	"dead-peer-retransmit": {
		counts: func(n uint64) counts {
			return counts{"ActiveOpens": n, "PassiveOpens": n, "EstabResets": 2 * n, "TCPAbortOnTimeout": n}
		},
		client: tcp.Established,
	},
	"dead-peer-idle": {
		counts: func(n uint64) counts {
			return counts{"ActiveOpens": n, "PassiveOpens": n, "EstabResets": 2 * n, "OutRsts": n}
		},
		client: tcp.Established,
	},
	"dead-peer-unasked": {
		counts: func(n uint64) counts {
			return counts{"ActiveOpens": n, "PassiveOpens": n, "EstabResets": 2 * n, "OutRsts": n}
		},
		client: tcp.Established,
	},
	"syn-cookies": {
		// TCPReqQFullDoCookies is what the kernel calls it even with an empty
		// queue (tcp_syn_flood_action).
		counts: func(n uint64) counts {
			return plain(n).with("SyncookiesSent", n).with("SyncookiesRecv", n).with("TCPReqQFullDoCookies", n)
		},
		client: tcp.TimeWait, cause: "netns_exit",
	},
	"healthy": {counts: plain, heldByChance: true, cause: "netns_exit", strayResets: true},
}

// TestRun plays every story over both families and asks the kernel itself, by
// inet_diag and its own counters, whether that was what the story says. Needs
// root.
func TestRun(t *testing.T) {
	needNamespaces(t)
	for _, story := range lab.Stories() {
		want, ok := expectations[story.Name]
		if !ok {
			want, ok = resetExpectations[story.Name]
		}
		if !ok {
			t.Errorf("story %s: the test knows nothing of it", story.Name)
			continue
		}
		if story.Name == "churn" || story.Name == "crowd" {
			continue // TestRun_Churn, TestRun_Crowd
		}
		for _, v6 := range families() {
			t.Run(fmt.Sprintf("%s/ipv6=%v", story.Name, v6), func(t *testing.T) {
				if story.Takes > time.Minute && testing.Short() {
					t.Skipf("takes %v", story.Takes)
				}
				t.Parallel()
				needRing(t, story)
				testStory(t, story, v6, want)
			})
		}
	}
}

// needRing skips a story only where this kernel is known to forbid io_uring.
func needRing(t *testing.T, story lab.Story) {
	t.Helper()
	if err := story.Check(lab.Params{}); errors.Is(err, lab.ErrNoURing) {
		t.Skip(err)
	}
}

func testStory(t *testing.T, story lab.Story, v6 bool, want expectation) {
	held := 0
	truth, err := story.Run(t.Context(), lab.Params{
		N: lab.DefaultN, IPv6: v6,
		Held: func(truth *lab.Truth) error {
			held++
			if !want.heldByChance {
				checkSockets(t, truth, want)
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if held != 1 {
		t.Errorf("Held was called %d times", held)
	}
	n := lab.DefaultN * max(1, want.conns)
	listed := n
	if want.refused != nil {
		listed = len(truth.Conns)
		want.counts = func(uint64) counts { return want.refused(uint64(n - listed)) }
		if listed != n/2 && listed != n/2+1 {
			t.Errorf("%d half-open connections, want %d or one more", listed, n/2)
		}
	}
	if truth.Count != n || len(truth.Conns) != listed {
		t.Errorf("%d connections, %d in the list, want %d and %d", truth.Count, len(truth.Conns), n, listed)
	}
	if family := map[bool]string{false: "ipv4", true: "ipv6"}[v6]; truth.Family != family {
		t.Errorf("family %s, want %s", truth.Family, family)
	}
	if want.strayResets {
		for _, ns := range truth.NetNS {
			delete(ns.Counters, "OutRsts")
		}
	}
	checkCounters(t, truth, want.counts(lab.DefaultN))
	checkConns(t, truth, want)
	if want, ok := charges[story.Name]; ok {
		checkCharge(t, truth, want)
	}
}

// TestStories_PathsAreLegal holds what the stories say of themselves against
// what TCP allows.
func TestStories_PathsAreLegal(t *testing.T) {
	for _, story := range lab.Stories() {
		for _, path := range [][]tcp.State{story.Client, story.Server} {
			for i := 1; i < len(path); i++ {
				if !tcp.Legal(path[i-1], path[i]) {
					t.Errorf("story %s: %v->%v is no transition of TCP", story.Name, path[i-1], path[i])
				}
			}
		}
	}
}

// TestStories_EveryStateIsVisited: together the stories leave no state out.
func TestStories_EveryStateIsVisited(t *testing.T) {
	left := map[tcp.State]bool{}
	for _, s := range tcp.States() {
		left[s] = true
	}
	for _, story := range lab.Stories() {
		for _, tr := range story.Transitions() {
			delete(left, tr.Old)
			delete(left, tr.New)
		}
	}
	if len(left) != 0 {
		t.Errorf("no story visits %v", left)
	}
}

func TestLookup(t *testing.T) {
	for _, story := range lab.Stories() {
		got, err := lab.Lookup(story.Name)
		if err != nil || got.Name != story.Name {
			t.Errorf("Lookup(%q) = %q, %v", story.Name, got.Name, err)
		}
	}
	_, err := lab.Lookup("no-such")
	if err == nil || !strings.HasPrefix(err.Error(), `no story is called "no-such": the stories are client-close server-close`) {
		t.Errorf("Lookup of no story: %v", err)
	}
}

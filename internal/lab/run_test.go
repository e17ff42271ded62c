//go:build linux

package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/lab"
)

func TestMain(m *testing.M) {
	lab.Act()
	// Most stories wait for TCP's timers most of the time.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// families are those that a story is played with. The race detector has seen all
// with one.
func families() []bool { return lab.Sample(1, []bool{false, true}) }

// needNamespaces skips a test only where it is sure that this process may not
// make network namespaces.
func needNamespaces(t *testing.T) {
	t.Helper()
	if err := lab.Allowed(); errors.Is(err, lab.ErrNotAllowed) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
}

func lookup(t *testing.T, name string) lab.Story {
	t.Helper()
	s, err := lab.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCheck_RefusesWhatCannotBeDone(t *testing.T) {
	for _, tc := range []struct {
		story string
		p     lab.Params
		want  string
	}{
		{"client-close", lab.Params{N: -1}, "story client-close: -1 connections: 1 to 10007 can be made"},
		{"client-close", lab.Params{N: 10_008}, "story client-close: 10008 connections: 1 to 10007 can be made"},
		{"client-close", lab.Params{Hold: time.Second}, "story client-close: hold 1s: it holds no state"},
		{"client-close", lab.Params{Rate: 5}, "story client-close: rate, duration and threads are for churn alone"},
		{"close-wait", lab.Params{Hold: time.Minute}, "story close-wait: hold 1m0s: 0s to 50s are possible"},
		{"half-close", lab.Params{Hold: 2 * time.Hour}, "story half-close: hold 2h0m0s: 0s to 1h0m0s are possible"},
		{"simultaneous-open", lab.Params{Network: lab.Loopback}, `story simultaneous-open: network "loopback": it runs over [wire]`},
		{"churn", lab.Params{Threads: 65}, "story churn: 65 threads: 1 to 64 are possible"},
		{"churn", lab.Params{Duration: time.Hour}, "story churn: duration 1h0m0s: up to 10m0s is possible"},
		{"crowd", lab.Params{N: 1_000_001}, "story crowd: 1000001 connections: 1 to 1000000 can be made"},
		{"churn", lab.Params{Rate: -1}, "story churn: rate -1: it is connections per second, 0 for as many as go"},
	} {
		err := lookup(t, tc.story).Check(tc.p)
		if err == nil || err.Error() != tc.want {
			t.Errorf("Check(%s, %+v):\n got %v\nwant %s", tc.story, tc.p, err, tc.want)
		}
	}
	if err := lookup(t, "half-close").Check(lab.Params{Hold: time.Minute, IPv6: true, N: 997}); err != nil {
		t.Errorf("a run that can be done is refused: %v", err)
	}
}

// TestRun_Networks runs one story over every way that there is. Needs root.
func TestRun_Networks(t *testing.T) {
	needNamespaces(t)
	for _, network := range []lab.Network{lab.Loopback, lab.Veth, lab.Wire} {
		for _, v6 := range []bool{false, true} {
			var ready []uint32
			truth, err := lookup(t, "server-close").Run(t.Context(), lab.Params{
				N: 7, IPv6: v6, Network: network,
				Ready: func(netns []uint32) error { ready = slices.Clone(netns); return nil },
			})
			if err != nil {
				t.Errorf("%s, ipv6 %v: %v", network, v6, err)
				continue
			}
			if !slices.Equal(ready, truth.Inodes()) {
				t.Errorf("%s: namespaces %v were ready, %v used", network, ready, truth.Inodes())
			}
			checkCounters(t, truth, plain(7))
		}
	}
}

// TestRun_Overflow: who was early got TIME_WAIT, who came later did not.
// Needs root.
func TestRun_Overflow(t *testing.T) {
	needNamespaces(t)
	truth, err := lookup(t, "time-wait-overflow").Run(t.Context(), lab.Params{N: 7})
	if err != nil {
		t.Fatal(err)
	}
	waits := []string{"CLOSE", "SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE"}
	skips := []string{"CLOSE", "SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "CLOSE"}
	for i, c := range truth.Conns {
		want, cause := waits, "netns_exit"
		if i >= 3 {
			want, cause = skips, "overflow"
		}
		if !slices.Equal(c.ClientStates, want) || c.TimeWaitCause != cause {
			t.Errorf("connection %d: %v, %s; want %v, %s", i, c.ClientStates, c.TimeWaitCause, want, cause)
		}
	}
}

// TestRun_Churn: as many as asked for, each complete. Needs root.
func TestRun_Churn(t *testing.T) {
	needNamespaces(t)
	for _, v6 := range []bool{false, true} {
		truth, err := lookup(t, "churn").Run(t.Context(), lab.Params{N: 1009, IPv6: v6, Duration: time.Minute, Threads: 3})
		if err != nil {
			t.Fatal(err)
		}
		if truth.Count != 1009 || truth.Rate <= 0 {
			t.Errorf("%d connections, %v a second, want 1009", truth.Count, truth.Rate)
		}
		checkCounters(t, truth, plain(1009))
	}
}

// TestRun_Crowd: all are open at once, in as many processes as it takes, and each
// is complete. Needs root.
func TestRun_Crowd(t *testing.T) {
	needNamespaces(t)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := unix.Rlimit{Cur: 1024, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) }()
	for _, v6 := range []bool{false, true} {
		held := 0
		truth, err := lookup(t, "crowd").Run(t.Context(), lab.Params{N: 1009, IPv6: v6, Hold: time.Millisecond, Held: func(truth *lab.Truth) error {
			held = truth.Count
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if truth.Count != 1009 || held != 1009 || truth.Rate <= 0 || len(truth.Listeners) != 3 {
			t.Errorf("%d connections, %d held, %v a second, of %d processes, want 1009 of 3", truth.Count, held, truth.Rate, len(truth.Listeners))
		}
		delete(truth.NetNS[0].Counters, "OutRsts") // see unhurt
		checkCounters(t, truth, plain(1009))
	}
}

// TestRun_ChurnKeepsItsRate: 997 a second for half a second are 499, the first
// one at 0. Needs root.
func TestRun_ChurnKeepsItsRate(t *testing.T) {
	needNamespaces(t)
	truth, err := lookup(t, "churn").Run(t.Context(), lab.Params{Rate: 997, Duration: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if truth.Count != 499 {
		t.Errorf("%d connections, want 499", truth.Count)
	}
	checkCounters(t, truth, plain(499))
}

// TestRun_LeavesNothing: descriptors are closed and errors told, however a run
// ends. Needs root.
func TestRun_LeavesNothing(t *testing.T) {
	needNamespaces(t)
	stop := errors.New("enough")
	before := descriptors(t)
	for _, network := range []lab.Network{lab.Loopback, lab.Veth, lab.Wire} {
		_, err := lookup(t, "half-close").Run(t.Context(), lab.Params{Network: network, Ready: func([]uint32) error { return stop }})
		if !errors.Is(err, stop) || err.Error() != "story half-close: ready: enough" {
			t.Errorf("%s: stopped when ready: %v", network, err)
		}
		_, err = lookup(t, "half-close").Run(t.Context(), lab.Params{Network: network, Held: func(*lab.Truth) error { return stop }})
		if !errors.Is(err, stop) || err.Error() != "story half-close: held: enough" {
			t.Errorf("%s: stopped when held: %v", network, err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		_, err = lookup(t, "half-close").Run(ctx, lab.Params{
			Network: network, Hold: time.Hour,
			Held: func(*lab.Truth) error { cancel(stop); return nil },
		})
		if !errors.Is(err, stop) || err.Error() != "story half-close: enough" {
			t.Errorf("%s: cancelled while it holds: %v", network, err)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestTruth_JSON(t *testing.T) {
	truth := lab.Truth{
		Story: "close-wait", Family: "ipv4", Network: lab.Loopback,
		NetNS: []lab.NetNS{{Inode: 7, Role: "both"}}, Count: 1,
		Conns: []lab.TruthConn{{
			ClientCookie: 0x1a2b, ClientStates: []string{"CLOSE"},
			ServerStays: []lab.Stay{{State: "CLOSE_WAIT", Min: time.Second, Max: 2 * time.Second}},
		}},
		Elapsed: time.Second,
	}
	b, err := json.Marshal(truth)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"story":"close-wait","family":"ipv4","network":"loopback","netns":[{"inode":7,"role":"both"}],"count":1,` +
		`"conns":[{"client":"","server":"","client_netns":0,"server_netns":0,"client_cookie":"1a2b","client_states":["CLOSE"],` +
		`"server_stays":[{"state":"CLOSE_WAIT","min_ns":1000000000,"max_ns":2000000000}]}],"elapsed_ns":1000000000}`
	if string(b) != want {
		t.Errorf("marshalled:\n got %s\nwant %s", b, want)
	}
	var back lab.Truth
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if back.Conns[0].ClientCookie != 0x1a2b {
		t.Errorf("read back: %s", cmp.Diff(uint64(truth.Conns[0].ClientCookie), uint64(back.Conns[0].ClientCookie)))
	}
}

//go:build linux

package endtoend

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// playBeside runs a story beside a tracer of the clients' namespace alone: the
// other is then the world, in which something is lost and nobody says why.
func playBeside(t *testing.T, name string, params lab.Params, args ...string) (*lab.Truth, *tracer) {
	t.Helper()
	var tr *tracer
	params.Over = func(*lab.Truth) error {
		if status := tr.interrupt(); status != 0 {
			t.Errorf("exit status %d, want 0", status)
		}
		return nil
	}
	truth := play(t, name, params, func(netns string) {
		if i := slices.Index(args, "--record"); i >= 0 {
			os.Remove(args[i+1]) // of an earlier play
		}
		clients, _, _ := strings.Cut(netns, ",")
		tr = start(t, nil, append(args, clients)...)
	})
	return truth, tr
}

// resent returns what a namespace has sent again of data and FINs.
func resent(ns lab.NetNS) uint64 { return ns.Counters["RetransSegs"] - ns.Counters["TCPSynRetrans"] }

// the returns the only finding.
func the(t *testing.T, tr *tracer) finding {
	t.Helper()
	all := tr.findings()
	if len(all) != 1 {
		t.Fatalf("%d findings, want 1: %+v", len(all), all)
	}
	return all[0]
}

// briefStorm is long enough for each connection to send something again: a busy
// machine plays again what process 1 was in the way of, the rather the longer.
const briefStorm = 600 * time.Millisecond

// A storm is one finding: of what its connections have in common, of their
// process where that is one, and of as many segments as the kernel counts.
func TestWhy_StormScopes(t *testing.T) {
	const n = 101
	for _, test := range lab.Sample(1, []struct {
		story, scope string
		processes    int
	}{
		{"retransmit-storm", "peer", 1},
		{"storm-network", "network", 1},
		{"storm-process", "process", 1},
		{"storm-device", "device", 3},
		{"storm-host", "host", 3},
	}) {
		t.Run(test.scope, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "storm.ttr")
			truth, tr := playBeside(t, test.story, lab.Params{N: n, Hold: briefStorm}, "why", "-o", "json", "--record", file)
			f := the(t, tr)
			checkReplay(t, tr, file)
			pid := truth.Conns[0].ClientPID
			if test.processes > 1 {
				pid = 0
			}
			server := truth.Conns[0].Server.Addr()
			network, _ := server.Prefix(24)
			where := map[string]any{"peer": server.String(), "network": network.String(), "device": "lab0"}[test.scope]
			got := fmt.Sprint(f.Severity, " ", f.Rule, " ", f.Count, " of ", f.Process.PID, ", ", f.Evidence["scope"], " ", f.Evidence["where"])
			want := fmt.Sprint("warning retransmit-storm ", resent(truth.NetNS[0]), " of ", pid, ", ", test.scope, " ", where)
			if got != want {
				t.Errorf("it finds %s; want %s", got, want)
			}
			if f.Evidence["connections"] != float64(n) || f.Evidence["share_percent"] != 100.0 || f.Evidence["dropped"] != nil {
				t.Errorf("evidence %v", f.Evidence)
			}
			sum := 0.0
			for _, class := range []string{"rto", "fast", "tlp", "recovery", "fin", "unsent"} {
				if k, ok := f.Evidence[class].(float64); ok {
					sum += k
				}
			}
			if sum != float64(f.Count) {
				t.Errorf("the classes add up to %v of %d: %v", sum, f.Count, f.Evidence)
			}
		})
	}
}

// checkReplay holds that a recording of what a tracer saw says the same.
func checkReplay(t *testing.T, tr *tracer, file string) {
	t.Helper()
	again, err := exec.Command(binary, "why", "-o", "json", "--from", file).Output()
	if err != nil {
		t.Errorf("why --from: %v", err)
	}
	if diff := cmp.Diff(tr.stdout.String(), string(again)); diff != "" {
		t.Errorf("the recording says otherwise (-live +recorded):\n%s", diff)
	}
}

// Who sees the other namespace, too, is told who loses the segments: a firewall
// on this host, and how many, as it counts itself.
func TestWhy_StormByAFirewall(t *testing.T) {
	truth, tr := playWhole(t, "retransmit-storm", lab.Params{N: 101, Hold: briefStorm}, "why", "-o", "json")
	f := the(t, tr)
	if f.Rule != "retransmit-storm" || uint64(f.Count) != resent(truth.NetNS[0]) || f.Process.PID != truth.Conns[0].ClientPID {
		t.Errorf("it finds %+v, of %d segments", f, resent(truth.NetNS[0]))
	}
	checkDrops(t, &f, "NETFILTER_DROP", "a firewall of this host drops them", truth.NetNS[1].Inode)
	// What is sent again is dropped, too, but for what ends an outage.
	if dropped := f.Evidence["dropped"].(float64); dropped < float64(f.Count)/2 || dropped > float64(f.Count) {
		t.Errorf("%v segments dropped of %d sent again", dropped, f.Count)
	}
}

// checkDrops holds that a finding names what this host dropped, and where, as
// the cause.
func checkDrops(t *testing.T, f *finding, reason, cause string, netns uint32) {
	t.Helper()
	if !strings.Contains(f.Cause, " dropped on this host (") || !strings.HasSuffix(f.Cause, ": "+cause) {
		t.Errorf("it says %q, want %q", f.Cause, cause)
	}
	if f.Evidence["drop_reason"] != reason || f.Evidence["drop_netns"] != float64(netns) {
		t.Errorf("%v in %v; want %s in %d", f.Evidence["drop_reason"], f.Evidence["drop_netns"], reason, netns)
	}
}

// A receiver on this host that has no room is the cause, and both are named.
func TestWhy_StormOfAFullReceiver(t *testing.T) {
	truth, tr := playWhole(t, "storm-receiver", lab.Params{}, "why", "-o", "json")
	f := the(t, tr)
	if f.Rule != "retransmit-storm" || uint64(f.Count) != resent(truth.NetNS[0]) || f.Evidence["where"] != "127.0.0.1" {
		t.Errorf("it finds %+v, of %d segments", f, resent(truth.NetNS[0]))
	}
	if pid := truth.Conns[0].ClientPID; f.Process.PID != pid || f.Peer.PID != pid {
		t.Errorf("of process %d, to process %d; want %d", f.Process.PID, f.Peer.PID, pid)
	}
	// The first that finds no room is PROTO_MEM; then the window is closed.
	dropped := truth.NetNS[0].Counters["TCPRcvQDrop"] + truth.NetNS[0].Counters["BeyondWindow"]
	if got := f.Evidence["dropped"]; got != float64(dropped) {
		t.Errorf("%v dropped, the kernel counts %d", got, dropped)
	}
	reason := "TCP_INVALID_END_SEQUENCE" // from Linux 6.17; it was TCP_ZEROWINDOW
	if f.Evidence["drop_reason"] != reason {
		reason = "TCP_ZEROWINDOW"
	}
	checkDrops(t, &f, reason, "the receiving socket on this host has no room for them", truth.NetNS[0].Inode)
}

// A firewall of this host that drops SYNs is found behind a connect() without an
// answer, with as many as there were.
func TestWhy_FirewalledSYNs(t *testing.T) {
	for _, network := range []lab.Network{lab.Veth, lab.Loopback} {
		t.Run(string(network), func(t *testing.T) {
			t.Parallel()
			truth, tr := playWhole(t, "syn-firewalled", lab.Params{Network: network}, "why", "-o", "json")
			f := the(t, tr)
			if f.Severity != "warning" || f.Rule != "connect-timeout" || f.Count != n || f.Process.PID != truth.Conns[0].ClientPID {
				t.Errorf("it finds %+v", f)
			}
			checkDrops(t, &f, "NETFILTER_DROP", "a firewall of this host drops them", truth.NetNS[0].Inode)
			if got := f.Evidence["dropped"]; got != 2.0*n {
				t.Errorf("%v SYNs dropped, want %d", got, 2*n)
			}
		})
	}
}

// What has idled for longer than tcp_keepalive_time, before anybody looked, and
// has no keepalive, is told.
func TestWhy_UnaskedDeadPeer(t *testing.T) {
	for _, ipv6 := range []bool{false, true} {
		var tr *tracer
		truth := play(t, "dead-peer-unasked", lab.Params{IPv6: ipv6, Held: func(truth *lab.Truth) error {
			tr = start(t, nil, "why", "-o", "json", "--duration", "2s", "--netns", fmt.Sprint(truth.NetNS[0].Inode))
			if status := tr.wait(); status != 0 {
				t.Errorf("exit status %d, want 0", status)
			}
			return nil
		}}, func(string) {})
		f := the(t, tr)
		if f.Rule != "dead-peer" || f.Severity != "info" || f.Count != n || f.Process.PID != truth.Conns[0].ClientPID {
			t.Errorf("it finds %+v", f)
		}
		if f.Evidence["no_keepalive"] != float64(n) || f.Evidence["tcp_keepalive_time"] != 1.0 || f.Evidence["remote"] != truth.Conns[0].Server.String() {
			t.Errorf("evidence %v", f.Evidence)
		}
		if idle, _ := f.Evidence["oldest_ns"].(float64); idle < 1.1e9 {
			t.Errorf("idle for %v ns, want 1.1 s at least", idle)
		}
	}
}

// What idles is told while it does, and as what it became in the end.
func TestWhy_IdleDeadPeer(t *testing.T) {
	if testing.Short() {
		t.Skip("it lasts several seconds")
	}
	t.Parallel()
	truth, tr := playWhole(t, "dead-peer-idle", lab.Params{Hold: 7 * time.Second}, "why", "-o", "json")
	told := false
	for text := range strings.Lines(tr.stdout.String()) {
		told = told || strings.Contains(text, `"dead-peer"`) && strings.Contains(text, `"idle":23,`) && strings.Contains(text, `"oldest_ns":5`)
	}
	if !told {
		t.Errorf("it does not tell of 23 that idle for 5 s:\n%s", tr.stdout.String())
	}
	for _, f := range tr.findings() { // they have met a RST since, which other rules tell
		if f.Rule != "dead-peer" {
			continue
		}
		if f.Severity != "info" || f.Count != n || f.Process.PID != truth.Conns[0].ClientPID || f.Evidence["idle"] != nil {
			t.Errorf("in the end it says %+v", f)
		}
	}
}

//go:build linux

package endtoend

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/proc"
)

// An auditLine is what these tests read of an audit's record.
type auditLine struct {
	Type             string
	NetNS            uint32
	Counter          string
	Tcptrace, Kernel int64
	Equal            bool
	Difference       int64
	Bounded          bool
	Reason           string
}

// inexact are counters that no event tells all of: docs/audit.md says what of
// them is not seen. Their difference must be within its bound.
var inexact = map[string]bool{"TCPLossProbes": true}

func (l *auditLine) check(t *testing.T) {
	t.Helper()
	if !l.Equal && !(inexact[l.Counter] && l.Bounded) {
		t.Errorf("%s of %d: tcptrace %d, kernel %d: %s", l.Counter, l.NetNS, l.Tcptrace, l.Kernel, l.Reason)
	}
}

func (tr *tracer) auditLines() (all []auditLine) {
	tr.t.Helper()
	for text := range bytes.Lines(tr.stdout.Bytes()) {
		var l auditLine
		if err := json.Unmarshal(text, &l); err != nil {
			tr.t.Fatalf("%v: %s", err, text)
		}
		if l.Type == "audit" {
			all = append(all, l)
		}
	}
	return all
}

// playAudited plays a story under the audit of its network namespaces, and
// returns what both counted, summed over these: they must be equal in all.
func playAudited(t *testing.T, name string, params lab.Params) map[string]int64 {
	t.Helper()
	var status int
	var tr *tracer
	params.Held = func(*lab.Truth) error {
		status = tr.interrupt()
		return nil
	}
	truth := play(t, name, params, func(netns string) { tr = start(t, nil, "audit", "-o", "json", netns) })
	if status != 0 {
		t.Errorf("exit status %d, want 0: %s", status, tr.stderr.String())
	}
	sums, spaces := map[string]int64{}, map[uint32]bool{}
	for _, l := range tr.auditLines() {
		spaces[l.NetNS] = true
		l.check(t)
		if l.Kernel != 0 {
			sums[l.Counter] += l.Kernel
		}
	}
	for _, ns := range truth.NetNS {
		if !spaces[ns.Inode] {
			t.Errorf("no audit of network namespace %d", ns.Inode)
		}
	}
	return sums
}

// Each story's figures are known before.
func TestAudit_Stories(t *testing.T) {
	const n = 211
	for _, tt := range lab.Sample(2, []struct {
		story string
		n     int
		want  map[string]int64
	}{
		{"churn", 10_007, map[string]int64{"ActiveOpens": 10_007, "PassiveOpens": 10_007, "TW": 10_007}},
		{"client-close", n, map[string]int64{"ActiveOpens": n, "PassiveOpens": n, "TW": n}},
		{"refused", n, map[string]int64{"ActiveOpens": n, "AttemptFails": n, "OutRsts": n}},
		{"reset-linger", n, map[string]int64{
			"ActiveOpens": n, "PassiveOpens": n, "EstabResets": 2 * n, "OutRsts": n, "TCPAbortOnData": n,
		}},
		{"reset-unread", n, map[string]int64{
			"ActiveOpens": n, "PassiveOpens": n, "EstabResets": 2 * n, "OutRsts": n, "TCPAbortOnClose": n,
		}},
	}) {
		for _, family := range lab.Sample(1, []struct {
			name string
			v6   bool
		}{{"ipv4", false}, {"ipv6", true}}) {
			t.Run(tt.story+"/"+family.name, func(t *testing.T) {
				params := lab.Params{N: tt.n, IPv6: family.v6}
				if tt.story == "churn" {
					params.Duration = time.Minute // at most
				}
				got := playAudited(t, tt.story, params)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("counters (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// A second child of one request counts as a passive open, and as nothing else.
func TestAudit_TwoChildrenOfOneRequest(t *testing.T) {
	got := playAudited(t, "two-acks", lab.Params{N: 307})
	t.Logf("%d second children", got["PassiveOpens"]-307)
	if got["ActiveOpens"] != 307 || got["TW"] != 307 || got["AttemptFails"] != 0 || got["EstabResets"] != 0 {
		t.Errorf("counters %v; want 307 ActiveOpens and TW, no AttemptFails and EstabResets", got)
	}
}

// Beside another command the audit follows what that prints.
func TestAudit_BesideConns(t *testing.T) {
	_, tr := playTraced(t, "client-close", lab.Params{}, "conns", "--audit")
	out := tr.stdout.String()
	_, table, found := strings.Cut(out, "NETNS ")
	if !found || !strings.HasPrefix(out, "CLOSED ") {
		t.Fatalf("no table of an audit behind the connections:\n%s", out)
	}
	for _, want := range []string{"ActiveOpens                 23 =         23\n", "TW                          23 =         23\n"} {
		if !strings.Contains(table, want) {
			t.Errorf("no line %q in:\n%s", want, table)
		}
	}
	if strings.Contains(table, "!") {
		t.Errorf("a line does not hold:\n%s", table)
	}
}

// An audit that begins and ends in the middle of traffic cannot know what the
// figures had of what was under way, but how much that was.
func TestAudit_UnderLoad(t *testing.T) {
	story, err := lab.Lookup("churn")
	if err != nil {
		t.Fatal(err)
	}
	var tr *tracer
	var status int
	lab.Unshielded(t.Logf, func() {
		attached, over := make(chan struct{}), make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, err := story.Run(ctx, lab.Params{Rate: 3001, Duration: time.Minute, Ready: func(netns []uint32) error {
				go func() {
					tr = start(t, nil, "audit", "-o", "json", "--duration", "1s", fmt.Sprintf("--netns=%d", netns[0]))
					attached <- struct{}{}
				}()
				return nil
			}})
			over <- err
		}()
		<-attached
		status = tr.wait()
		cancel()
		<-over
	})
	if status != 0 {
		t.Errorf("exit status %d, want 0: %s", status, tr.stderr.String())
	}
	if sum(tr.auditLines(), "ActiveOpens") == 0 { // how many is left to the machine
		t.Error("no connections were counted, want some 3001")
	}
	for _, l := range tr.auditLines() {
		if !l.Equal && !l.Bounded {
			t.Errorf("%s: tcptrace %d, kernel %d: %s", l.Counter, l.Tcptrace, l.Kernel, l.Reason)
		}
	}
}

func sum(lines []auditLine, counter string) (n int64) {
	for _, l := range lines {
		if l.Counter == counter {
			n += l.Kernel
		}
	}
	return n
}

// Whatever else happens to a connection, both count the same, to the very end:
// timewait sockets that are skipped, short-lived and taken over, handshakes that
// come to nothing.
func TestAudit_EveryStory(t *testing.T) {
	for _, story := range lab.Sample(2, []string{
		"half-close", "close-wait", "orphan-fin-wait2", "orphan-fin-wait2-fin", "simultaneous-close",
		"slow-handshake", "reset-in-handshake", "handshake-abandoned", "syn-unanswered", "syn-unanswered-asked",
		"time-wait-reuse-connect", "time-wait-reuse-ephemeral", "time-wait-reuse-syn", "time-wait-reset",
		"time-wait-overflow", "process-killed",
		"reset-linger2", "reset-linger2-close", "reset-half-closed", "reset-shut-rd", "reset-disconnect",
		"reset-orphan-data", "reset-closed-data", "reset-gone-client", "reset-gone-server",
		"reset-keepalive", "reset-user-timeout", "reset-listener-closed", "reset-listener-handshake",
		"reset-accept-overflow", "reset-killed", "reset-firewall", "reset-reject", "reset-bad-ack",
		"connect-scan", "syn-cookies", "accept-queue-overflow", "accept-queue-overflow-abort", "last-ack-stuck",
	}) {
		t.Run(story, func(t *testing.T) {
			t.Parallel()
			var tr *tracer
			var status chan int
			var over chan struct{}
			var plays sync.WaitGroup // all: the story may be played again
			params := lab.Params{Over: func(*lab.Truth) error {
				close(over)
				return nil
			}}
			play(t, story, params, func(netns string) {
				keepers, ended, traffic := keep(t, netns), make(chan int, 1), make(chan struct{})
				over = traffic
				tracer := start(t, nil, "audit", "-o", "json", netns)
				tr, status = tracer, ended
				plays.Go(func() {
					<-traffic
					untilGone(keepers)
					ended <- tracer.interrupt()
					for _, k := range keepers {
						close(k.release)
					}
				})
			})
			plays.Wait()
			if got := <-status; got != 0 {
				t.Errorf("exit status %d, want 0: %s", got, tr.stderr.String())
			}
			counted := map[string]int64{}
			for _, l := range tr.auditLines() {
				l.check(t)
				if l.Kernel != 0 {
					counted[l.Counter] += l.Kernel
				}
			}
			if counted["ActiveOpens"] == 0 {
				t.Errorf("nothing was counted: %s", tr.stderr.String())
			}
			t.Log(counted)
		})
	}
}

// A keeper keeps a network namespace, so that its counters outlive the story,
// and looks at its sockets.
type keeper struct {
	sockets chan int      // how many there are, in other states than TIME_WAIT
	release chan struct{} // to be closed
}

// keep finds the namespaces that the flag names and moves a thread into each.
func keep(t *testing.T, flag string) (keepers []*keeper) {
	t.Helper()
	resolver, err := proc.NewResolver(proc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := resolver.NetNamespaces()
	if err != nil {
		t.Fatal(err)
	}
	for inode := range strings.SplitSeq(strings.TrimPrefix(flag, "--netns="), ",") {
		for _, ns := range all {
			if strconv.FormatUint(uint64(ns.Inode), 10) == inode {
				keepers = append(keepers, newKeeper(t, ns))
			}
		}
	}
	return keepers
}

func newKeeper(t *testing.T, ns proc.NetNS) *keeper {
	t.Helper()
	f, err := ns.Open()
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{make(chan int), make(chan struct{})}
	entered := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err == nil {
			defer home.Close()
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
		}
		f.Close()
		entered <- err
		for err == nil {
			select {
			case k.sockets <- openSockets():
			case <-k.release:
				// It may be the main thread, which does not end with us.
				if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
					runtime.UnlockOSThread()
				}
				return
			}
		}
	}()
	if err := <-entered; err != nil {
		t.Fatal(err)
	}
	return k
}

// openSockets counts the TCP sockets of the calling thread's namespace that are
// not in TIME_WAIT.
func openSockets() (n int) {
	for _, table := range []string{"tcp", "tcp6"} {
		text, _ := os.ReadFile("/proc/thread-self/net/" + table)
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 3 && f[0] != "sl" && f[3] != "06" {
				n++
			}
		}
	}
	return n
}

// untilGone returns when there are no sockets any more, but for those in
// TIME_WAIT: the listener, too, is closed.
func untilGone(keepers []*keeper) {
	for {
		n := 0
		for _, k := range keepers {
			n += <-k.sockets
		}
		if n == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// Loss, RSTs, refusals and silence at once: what the kernel counts is left to
// chance, that tcptrace counts the same is not.
func TestAudit_LossyMinute(t *testing.T) {
	const n = 211
	for _, family := range lab.Sample(1, []struct {
		name string
		v6   bool
	}{{"ipv4", false}, {"ipv6", true}}) {
		t.Run(family.name, func(t *testing.T) {
			t.Parallel()
			got := playAudited(t, "lossy", lab.Params{N: n, IPv6: family.v6})
			if got["ActiveOpens"] != n {
				t.Errorf("ActiveOpens %d, want %d", got["ActiveOpens"], n)
			}
			for _, counter := range []string{
				"PassiveOpens", "AttemptFails", "EstabResets", "RetransSegs", "OutRsts", "TW", "TCPTimeouts",
				"TCPSynRetrans", "TCPLossProbes", "TCPAbortOnData", "TCPAbortOnClose", "TCPAbortOnTimeout",
			} {
				if got[counter] == 0 {
					t.Errorf("%s is 0: the story did not cause any", counter)
				}
			}
			t.Log(got)
		})
	}
}

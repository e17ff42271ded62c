//go:build linux

package probe_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/probe"
)

// Where kallsyms shows no addresses, the timers tell as much as elsewhere, but for
// the cause of an end that no timer and no namespace's end brought: each way into a timewait socket or a
// request, each way out, and a timer that is only set again.
func TestLive_WithoutNames(t *testing.T) {
	for _, name := range []string{
		"client-close", "half-close", "orphan-fin-wait2", "orphan-fin-wait2-fin", "time-wait-expiry",
		"time-wait-netns-exit", "time-wait-overflow", "time-wait-reset", "time-wait-reuse-connect", "time-wait-reuse-syn",
		"syn-unanswered", "slow-handshake", "reset-in-handshake", "handshake-abandoned", "simultaneous-open",
	} {
		t.Run(name, func(t *testing.T) {
			story, err := lab.Lookup(name)
			if err != nil {
				t.Fatal(err)
			}
			if story.Takes > 30*time.Second && testing.Short() {
				t.Skipf("it takes %v", story.Takes)
			}
			t.Parallel()
			truth, seen := watchBy(t, openNameless, name, lab.Params{}, probe.Options{Hooks: probe.HooksTimers})
			if !seen.nameless {
				t.Skip(allShown(t))
			}
			compare(t, truth, seen)
		})
	}
}

// openNameless is open on a thread without CAP_SYSLOG, to which the kernel, as a
// rule, shows no addresses.
func openNameless(options probe.Options) (source *probe.Source, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and it ends with this goroutine
		if err = forgo(unix.CAP_SYSLOG); err == nil {
			source, err = open(options)
		}
	}()
	<-done
	return source, err
}

// forgo takes a capability from what the calling thread has in effect.
func forgo(capability int) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read the thread's capabilities: %w", err)
	}
	data[capability/32].Effective &^= 1 << (capability % 32)
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("set the thread's capabilities: %w", err)
	}
	return nil
}

// allShown says why this kernel shows the addresses to everybody, or ends the test
// where it should not (kernel/ksyms_common.c, kallsyms_show_value).
func allShown(t *testing.T) string {
	t.Helper()
	var said []string
	for _, name := range []string{"kptr_restrict", "perf_event_paranoid"} {
		text, err := os.ReadFile("/proc/sys/kernel/" + name)
		if err != nil {
			t.Fatal(err)
		}
		said = append(said, strings.TrimSpace(string(text)))
	}
	if said[0] != "0" || said[1] != "0" && said[1] != "1" && said[1] != "-1" {
		t.Fatalf("kallsyms shows addresses without CAP_SYSLOG, with kptr_restrict %s and perf_event_paranoid %s", said[0], said[1])
	}
	return "this kernel shows everybody its addresses: kptr_restrict 0, perf_event_paranoid " + said[1]
}

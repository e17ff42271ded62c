//go:build linux

package probe_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/probe"
)

// twoVar makes the test binary do its part of a test with the privileges that it
// has: see withTwoCapabilities.
const twoVar = "PROBE_TEST_TWO_CAPABILITIES"

// withTwoCapabilities runs a test's other part as a user who is not root, with the
// two capabilities that tracing needs, and returns what it printed. It skips the
// test where the kernel wants a third.
func withTwoCapabilities(t *testing.T) (said []string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-hooks", *hooks, "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), twoVar+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: 65534, Gid: 65534},
		AmbientCaps: []uintptr{unix.CAP_BPF, unix.CAP_PERFMON},
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if why, skipped := strings.CutPrefix(line, "skipped: "); skipped {
			t.Skip(why)
		}
		if why, refused := strings.CutPrefix(line, "refused: "); refused {
			if !strings.Contains(why, "CAP_SYS_RESOURCE") {
				t.Errorf("refused without the name of what is missing: %s", why)
			}
			t.Skip(why) // the kernel accounts BPF's memory as locked
		}
		said = append(said, strings.TrimSpace(line))
	}
	return said
}

// Two capabilities are enough for all that tracepoints show. What is missing is
// named, each in one line.
func TestHost_TwoCapabilities(t *testing.T) {
	if os.Getenv(twoVar) != "" {
		examine()
		return
	}
	grades := map[string]probe.Grade{}
	for _, line := range withTwoCapabilities(t) {
		var c probe.Capability
		if json.Unmarshal([]byte(line), &c) != nil || c.Name == "" {
			continue
		}
		grades[c.Name] = c.Grade
		fmt.Printf(`{"type":"capability","name":%q,"grade":%q,"lost":%q}`+"\n", c.Name, c.Grade, c.Lost) // for the matrix of kernels
		if c.Grade != probe.Exact && (c.Why == "" || strings.Contains(c.Why, "\n")) {
			t.Errorf("%s is %s, and why is said so: %q", c.Name, c.Grade, c.Why)
		}
	}
	for _, name := range []string{
		"transitions", "process of a transition", "local port in SYN_SENT", "SYN_RECV", "TIME_WAIT",
		"retransmits", "resets sent", "resets received",
	} {
		if grades[name] != probe.Exact {
			t.Errorf("%s is %q, want exact", name, grades[name])
		}
	}
	if name := "sockets older than the trace"; grades[name] != probe.Bounded {
		t.Errorf("%s is %q, want bounded: other namespaces cannot be entered", name, grades[name])
	}
}

// examine prints the capabilities as JSON lines, or why there are none.
func examine() {
	capabilities, err := probe.Examine(probe.Options{Hooks: *hooks})
	if err != nil {
		fmt.Printf("refused: %v\n", err)
		return
	}
	for _, c := range capabilities {
		_ = json.NewEncoder(os.Stdout).Encode(c)
	}
}

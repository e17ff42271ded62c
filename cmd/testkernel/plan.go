package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// compile builds what the guests run, static, and returns the files' paths.
func compile(ctx context.Context, cache string) ([]string, error) {
	dir := filepath.Join(cache, "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	probe, tracer := filepath.Join(dir, "probe.test"), filepath.Join(dir, "tcptrace")
	for _, args := range [][]string{
		{"test", "-c", "-o", probe, "./internal/probe"},
		{"build", "-o", tracer, "./cmd/tcptrace"},
	} {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return []string{probe, tracer}, nil
}

// stories show each state, end and cause once: what a short run plays, with one
// family for each way of seeing minisockets. A full run plays all that there are,
// with both.
const stories = "client-close|half-close|close-wait|orphan-fin-wait2|orphan-fin-wait2-fin|simultaneous-close" +
	"|reset-linger|reset-unread|time-wait-netns-exit|time-wait-reuse-connect|time-wait-reuse-ephemeral|time-wait-reuse-syn" +
	"|time-wait-reset|time-wait-overflow|refused|syn-unanswered|slow-handshake|reset-in-handshake|handshake-abandoned|simultaneous-open"

// family is the one that a short run plays.
var family = map[mode]string{"fentry": "ipv4", "timers": "ipv6"}

// patterns are the tests of internal/probe that show something of a kernel, as
// go test -run has them. The others run on every host.
func (o *options) patterns(m mode) []string {
	if o.run != "" {
		return []string{o.run}
	}
	if o.short {
		return []string{
			"^TestLive_Stories$/^(" + stories + ")$/" + family[m],
			"^TestOpen_HooksByNameAndByDefault$",
			"^TestLive_Owners$/^(threads|fd-passing|io-uring-accept)$/^veth$/^ipv4$",
		}
	}
	return []string{
		"^(TestLive_Stories|TestLive_Causes_BesideOtherTracers|TestLive_TinyRing_ReceivedAndLostAreWhatWasSent|TestOpen_HooksByNameAndByDefault)$",
		"^TestLive_(Owners|Owners_ExactAccept)$/^(prefork|threads|fd-passing|io-uring-accept)$/^veth$/^ipv4$",
		"^TestLive_(MidTrace|Owners_BeforeTheEnd)$",
	}
}

// longTests take a minute, waiting; so they wait at the same time.
const longTests = "^TestLive_Stories$/^time-wait-expiry$"

// script is what a guest runs, or this host: with each way of seeing
// minisockets that the kernel has, what doctor says of it, what the verifier
// makes of each program, and the live tests.
func script(o *options) string {
	var b strings.Builder
	for _, m := range modes {
		fmt.Fprintf(&b, "if tcptrace doctor --hooks %s >/dev/null 2>/tmp/why; then\n", m)
		fmt.Fprintf(&b, "\tsuite doctor/%[1]s tcptrace doctor --hooks %[1]s -o json\n", m)
		probe := fmt.Sprintf("probe.test -hooks %s -slack 100ms -test.v -test.timeout 20m", m)
		fmt.Fprintf(&b, "\tsuite verifier/%s %s -test.run '^TestPrograms_Verified$'\n", m, probe)
		for i, pattern := range o.patterns(m) {
			fmt.Fprintf(&b, "\tsuite live%d/%s %s -test.short -test.run '%s'\n", i+1, m, probe, pattern)
		}
		fmt.Fprintf(&b, "else\n\tcat /tmp/why >$results\n\techo '@absent %s' >$results\nfi\n", m)
	}
	if o.run == "" {
		b.WriteString(hostScript)
	}
	if !o.short && o.run == "" {
		b.WriteString(longScript())
	}
	return b.String()
}

// longScript runs the tests that take a minute, all at once.
func longScript() string {
	var b strings.Builder
	for _, m := range modes {
		fmt.Fprintf(&b, "probe.test -hooks %[1]s -slack 100ms -test.v -test.run '%[2]s' >/tmp/long-%[1]s 2>&1 &\npid_%[1]s=$!\n", m, longTests)
	}
	b.WriteString("long() { wait $1; ended=$?; cat $2; return $ended; }\n")
	for _, m := range modes {
		fmt.Fprintf(&b, "suite long/%[1]s long $pid_%[1]s /tmp/long-%[1]s\n", m)
	}
	return b.String()
}

// Hosts that allow less, as modes of their own.
const (
	hidden        mode = "hidden"
	untrampolined mode = "untrampolined"
	unprivileged  mode = "unprivileged"
)

// hostScript shows what is left on such hosts, and that what cannot be had is
// refused in one line. A guest's sysctls are its own; this host's stay.
const hostScript = `
refused() { # a command must fail, and say why in one line
	"$@" >/tmp/out 2>/tmp/why && { echo "it was not refused"; return 1; }
	cat /tmp/why
	[ ! -s /tmp/out ] && [ "$(wc -l </tmp/why)" = 1 ]
}
works() { "$@" 2>/tmp/why && { cat /tmp/why; grep -q '^tracing' /tmp/why; }; }
suite doctor/unprivileged probe.test -test.run '^TestHost_TwoCapabilities$'
if [ "$results" = /dev/ttyS1 ]; then
	echo 2 >/proc/sys/kernel/kptr_restrict
	suite doctor/hidden tcptrace doctor -o json
	suite works/hidden works tcptrace watch --duration 1s
	suite refused/hidden refused tcptrace watch --hooks timers --duration 1s
	echo 0 >/proc/sys/kernel/kptr_restrict
	echo 0 >/proc/sys/kernel/ftrace_enabled
	suite doctor/untrampolined tcptrace doctor -o json
	suite works/untrampolined works tcptrace watch --duration 1s
	suite refused/untrampolined refused tcptrace watch --hooks fentry --duration 1s
	echo 1 >/proc/sys/kernel/ftrace_enabled
fi
`

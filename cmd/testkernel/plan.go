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

// stories show each state, end and cause once. A run plays them with one family
// for each way of seeing minisockets, or, if all is asked for, all that there are
// with both.
var stories = strings.Fields(`client-close half-close close-wait orphan-fin-wait2 orphan-fin-wait2-fin simultaneous-close
	reset-linger reset-unread time-wait-netns-exit time-wait-reuse-connect time-wait-reuse-ephemeral time-wait-reuse-syn
	time-wait-reset time-wait-overflow refused syn-unanswered slow-handshake reset-in-handshake handshake-abandoned
	simultaneous-open`)

// resets are the stories of RSTs: together, both ways play all that there are. By
// timers those of minisockets are played, by fentry the others.
var resets = map[mode][]string{
	"fentry": strings.Fields(`reset-linger reset-unread reset-shut-rd reset-disconnect reset-half-closed reset-linger2-close
		reset-linger2 reset-gone-server reset-keepalive reset-user-timeout reset-killed reset-firewall reset-reject
		reset-bad-ack reset-accept-overflow`),
	"timers": strings.Fields(`reset-orphan-data reset-closed-data reset-gone-client reset-in-handshake reset-listener-closed
		reset-listener-handshake orphan-fin-wait2 time-wait-reset refused`),
}

// hostLimits lowers limits of the whole host, as only a guest may.
const hostLimits = "TestLive_ResetCauses_OfHostLimits"

// requests are the tests of half-open connections beside the stories.
const requests = "TestLive_Request_WhoseSYNComesAgain"

// owners are the stories of who accepts.
var owners = strings.Fields("threads fd-passing io-uring-accept")

// family is the one that is played, unless all is asked for.
var family = map[mode]string{"fentry": "ipv4", "timers": "ipv6"}

// patterns are the tests of internal/probe that show something of a kernel, as
// go test -run has them. The others run on every host.
func (o *options) patterns(m mode) []string {
	switch {
	case o.run != "":
		return []string{o.run}
	case o.all:
		return []string{
			"^(TestLive_Stories|TestLive_ResetCauses|TestLive_Causes_BesideOtherTracers|TestLive_TinyRing_ReceivedAndLostAreWhatWasSent|TestOpen_HooksByNameAndByDefault)$",
			"^TestLive_(Owners|Owners_ExactAccept)$/^(prefork|threads|fd-passing|io-uring-accept)$/^veth$/^ipv4$",
			"^TestLive_(MidTrace|Owners_BeforeTheEnd)$",
		}
	}
	return []string{
		"^TestLive_Stories$/" + oneOf(stories) + "/" + family[m],
		"^TestLive_ResetCauses$/" + oneOf(resets[m]) + "/" + family[m],
		"^(" + hostLimits + "|" + requests + ")$",
		"^TestLive_Owners$/" + oneOf(owners) + "/^veth$",
		"^TestOpen_HooksByNameAndByDefault$",
	}
}

func oneOf(names []string) string { return "^(" + strings.Join(names, "|") + ")$" }

// planned names the tests that each kernel must have begun.
func (o *options) planned(m mode) []string {
	if o.run != "" {
		return nil
	}
	switch m {
	case hiddenTimers:
		var names []string
		for _, story := range withoutNames {
			names = append(names, "TestLive_WithoutNames/"+story)
		}
		return names
	case unprivileged:
		return []string{"TestLive_TwoCapabilities"}
	}
	names := []string{"TestLive_Stories/time-wait-expiry/" + family[m], "TestPrograms_Verified", "TestOpen_HooksByNameAndByDefault"}
	if !o.native && !o.all {
		names = append(names, hostLimits+"/reset-orphan-limit", hostLimits+"/reset-memory-limit")
	}
	for _, story := range stories {
		names = append(names, "TestLive_Stories/"+story+"/"+family[m])
	}
	for _, story := range resets[m] {
		names = append(names, "TestLive_ResetCauses/"+story+"/"+family[m])
	}
	if o.all {
		return names
	}
	names = append(names, requests)
	for _, story := range owners {
		names = append(names, "TestLive_Owners/"+story+"/veth")
	}
	return names
}

// expiry is the story of TIME_WAIT's own end. It takes a minute, waiting.
const expiry = "^TestLive_Stories$/^time-wait-expiry$/"

// script is what a guest runs, or this host: with each way of seeing
// minisockets that the kernel has, what doctor says of it, what the verifier
// makes of each program, and the live tests. Those that take a minute run beside
// the others.
func script(o *options) string {
	var b strings.Builder
	for _, m := range modes {
		probe := probeBy(m)
		fmt.Fprintf(&b, "if tcptrace doctor --hooks %s >/dev/null 2>/tmp/why; then\n", m)
		fmt.Fprintf(&b, "\tsuite doctor/%[1]s tcptrace doctor --hooks %[1]s -o json\n", m)
		fmt.Fprintf(&b, "\tsuite verifier/%s %s -test.run '^TestPrograms_Verified$'\n", m, probe)
		if o.run == "" {
			fmt.Fprintf(&b, "\t%[1]s -test.run '%[2]s' >/tmp/long-%[3]s 2>&1 &\n\tpid_%[3]s=$!\n", probe, expiry+family[m], m)
		}
		for i, pattern := range o.patterns(m) {
			fmt.Fprintf(&b, "\tsuite live%d/%s %s -test.short -test.run '%s'\n", i+1, m, probe, pattern)
		}
		fmt.Fprintf(&b, "\tways=\"$ways %s\"\nelse\n\tcat /tmp/why >$results\n\techo '@absent %s' >$results\nfi\n", m, m)
	}
	if o.run == "" {
		b.WriteString(endOfLong())
		b.WriteString(hostScript)
	}
	if o.cost {
		b.WriteString(costScript)
	}
	return b.String()
}

// costScript measures the ways in turn, each as often first as second: whatever
// else the host does meets both. Nothing runs beside it in the guest.
const costScript = `
for round in 1 2 3 4; do
	for way in $ways; do
		suite cost/$way probe.test -hooks $way -test.run '^$' -test.bench '^BenchmarkHooks$' -test.benchtime 1x -rate 200
	done
	set -- $ways
	ways="$2 $1"
done
`

func probeBy(m mode) string {
	return fmt.Sprintf("probe.test -hooks %s -slack 100ms -test.v -test.parallel 1 -test.timeout 20m", m)
}

// endOfLong waits for the tests that take a minute, and hands over what they said.
// With more than that to do, it is one that failed, which is to be run once more.
func endOfLong() string {
	var b strings.Builder
	for _, m := range modes { // "suite" runs its command in a shell of its own, to which they are strangers
		fmt.Fprintf(&b, "long_%s() { [ $# = 2 ] || { shift 2; %s \"$@\"; return; }; cat $2; return $1; }\n", m, probeBy(m))
		fmt.Fprintf(&b, "[ -z \"$pid_%[1]s\" ] || { wait $pid_%[1]s; suite long/%[1]s long_%[1]s $? /tmp/long-%[1]s; }\n", m)
	}
	return b.String()
}

// withoutNames are the stories whose sockets the timers must tell apart from those
// of others though kallsyms hides how: each way in, each way out, each end.
var withoutNames = strings.Fields(`half-close orphan-fin-wait2 orphan-fin-wait2-fin time-wait-reset time-wait-reuse-syn
	syn-unanswered slow-handshake reset-in-handshake`)

// Hosts that allow less, as modes of their own.
const (
	hidden        mode = "hidden"
	hiddenTimers  mode = "hidden-timers"
	untrampolined mode = "untrampolined"
	unprivileged  mode = "unprivileged"
	untyped       mode = "untyped" // see --btf
)

// hostScript shows what is left on such hosts, and that what cannot be had is
// refused in one line. A guest's sysctls are its own; this host's stay.
var hostScript = `
refused() { # a command must fail, and say why in one line
	"$@" >/tmp/out 2>/tmp/why && { echo "it was not refused"; return 1; }
	cat /tmp/why
	[ ! -s /tmp/out ] && [ "$(wc -l </tmp/why)" = 1 ]
}
works() { "$@" 2>/tmp/why && { cat /tmp/why; grep -q '^tracing' /tmp/why; }; }
suite doctor/untyped tcptrace doctor --btf /sys/kernel/btf/vmlinux -o json
# Not syn-cookies: what a packet does takes an emulated machine more than the millisecond that it has for it.
suite live/untyped probe.test -slack 100ms -test.v -test.parallel 1 -test.short -test.run '^TestLive_TypesOfAFile$/^(half-close|orphan-fin-wait2-fin|time-wait-reuse-syn|slow-handshake)$'
suite doctor/unprivileged probe.test -test.run '^TestHost_TwoCapabilities$'
suite live/unprivileged probe.test -hooks timers -test.v -test.run '^TestLive_TwoCapabilities$'
if [ "$results" = /dev/ttyS1 ]; then
	echo 2 >/proc/sys/kernel/kptr_restrict
	suite doctor/hidden tcptrace doctor -o json
	suite works/hidden works tcptrace watch --duration 1s
	suite refused/hidden refused tcptrace watch --hooks timers --btf /sys/kernel/btf/vmlinux --duration 1s
	suite doctor/hidden-timers tcptrace doctor --hooks timers -o json
	suite works/hidden-timers works tcptrace watch --hooks timers --duration 1s
	suite live/hidden-timers probe.test -slack 100ms -test.v -test.parallel 1 -test.short -test.run '^TestLive_WithoutNames$/` + oneOf(withoutNames) + `'
	echo 0 >/proc/sys/kernel/kptr_restrict
	echo 0 >/proc/sys/kernel/ftrace_enabled
	suite doctor/untrampolined tcptrace doctor -o json
	suite works/untrampolined works tcptrace watch --duration 1s
	suite refused/untrampolined refused tcptrace watch --hooks fentry --duration 1s
	echo 1 >/proc/sys/kernel/ftrace_enabled
else
	suite live/hidden-timers probe.test -test.v -test.short -test.run '^TestLive_WithoutNames$/` + oneOf(withoutNames) + `'
fi
`

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a guest says, as -test.v and the script spell it.
const said = `@kernel 6.1.0-56-cloud-amd64
@begin doctor/timers 7.25
{"type":"capability","name":"TIME_WAIT","grade":"exact","hook":"tp_btf/timer_start"}
{"type":"capability","name":"why a reset was sent","grade":"absent","lost":"the kernel's reason is not shown"}
{"type":"host","kernel":"6.1.0-56-cloud-amd64"}
@end doctor/timers 0 8.25
@begin verifier/timers 8.25
=== RUN   TestPrograms_Verified
    verified_test.go:40: verified tt_set_state: 1570 instructions
--- PASS: TestPrograms_Verified (0.17s)
PASS
@end verifier/timers 0 9.25
@begin live1/timers 9.25
=== RUN   TestLive_Stories
=== RUN   TestLive_Stories/refused
=== RUN   TestLive_Stories/refused/ipv4
=== RUN   TestLive_Stories/close-wait
=== RUN   TestLive_Stories/close-wait/ipv4
    live_test.go:211: 23 ends are all right but for the length of FIN_WAIT2
=== RUN   TestLive_Stories/half-close
    live_test.go:250: 0s in FIN_WAIT2, want 1s
--- FAIL: TestLive_Stories (36.08s)
    --- PASS: TestLive_Stories/refused (9.25s)
        --- PASS: TestLive_Stories/refused/ipv4 (4.25s)
    --- PASS: TestLive_Stories/close-wait (9.25s)
        --- SKIP: TestLive_Stories/close-wait/ipv4 (9.17s)
    --- FAIL: TestLive_Stories/half-close (4.25s)
FAIL
@again TestLive_Stories/half-close
=== RUN   TestLive_Stories/half-close
--- PASS: TestLive_Stories (4.08s)
    --- PASS: TestLive_Stories/half-close (4.05s)
@end live1/timers 0 50.25
@absent fentry
`

func TestResults(t *testing.T) {
	r := newResults("6.1")
	for line := range strings.Lines(said) {
		r.add(strings.TrimSuffix(line, "\n"))
	}
	got := map[string]any{
		"release": r.release, "twice": r.twice, "passed": r.count("timers", pass), "failed": r.count("timers", fail), "skipped": r.count("timers", skip),
		"why": r.tests["timers"]["TestLive_Stories/close-wait/ipv4"].why, "verified": r.verified["tt_set_state"],
		"capabilities": len(r.doctor["timers"]), "absent": r.absent["fentry"], "broken": r.broken, "spent": r.spent(),
	}
	want := map[string]any{
		"release": "6.1.0-56-cloud-amd64", "passed": 3, "failed": 0, "skipped": 1, "twice": []string{"live1/timers TestLive_Stories/half-close"},
		"why": "23 ends are all right but for the length of FIN_WAIT2", "verified": 1570,
		"capabilities": 2, "absent": true, "broken": []string(nil), "spent": "live1/timers 41 s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if fails := strings.Join(r.fails, "\n"); !strings.Contains(fails, "0s in FIN_WAIT2, want 1s") {
		t.Errorf("what failed is not told: %s", fails)
	}
}

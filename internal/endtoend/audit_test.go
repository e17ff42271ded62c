//go:build linux

package endtoend

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/lab"
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
		if !l.Equal {
			t.Errorf("%s of %d: tcptrace %d, kernel %d: %s", l.Counter, l.NetNS, l.Tcptrace, l.Kernel, l.Reason)
		}
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
	for _, tt := range []struct {
		story string
		n     int
		want  map[string]int64
	}{
		{"client-close", n, map[string]int64{"ActiveOpens": n, "PassiveOpens": n, "TW": n}},
		{"refused", n, map[string]int64{"ActiveOpens": n, "AttemptFails": n, "OutRsts": n}},
		{"reset-linger", n, map[string]int64{
			"ActiveOpens": n, "PassiveOpens": n, "EstabResets": 2 * n, "OutRsts": n, "TCPAbortOnData": n,
		}},
		{"reset-unread", n, map[string]int64{
			"ActiveOpens": n, "PassiveOpens": n, "EstabResets": 2 * n, "OutRsts": n, "TCPAbortOnClose": n,
		}},
	} {
		for _, family := range []struct {
			name string
			v6   bool
		}{{"ipv4", false}, {"ipv6", true}} {
			t.Run(tt.story+"/"+family.name, func(t *testing.T) {
				got := playAudited(t, tt.story, lab.Params{N: tt.n, IPv6: family.v6})
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("counters (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// Loss, RSTs, refusals and silence at once: what the kernel counts is left to
// chance, that tcptrace counts the same is not.
func TestAudit_LossyMinute(t *testing.T) {
	const n = 211
	for _, family := range []struct {
		name string
		v6   bool
	}{{"ipv4", false}, {"ipv6", true}} {
		t.Run(family.name, func(t *testing.T) {
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

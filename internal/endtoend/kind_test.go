//go:build linux

package endtoend

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// A kindLine is what these tests read of a record of watch.
type kindLine struct {
	Type, Op, Errno, Queue, Reason, Rule, Class, Cause, State string
	Count                                                     int
	Final                                                     bool
	Process                                                   struct{ PID int }
}

func (tr *tracer) kindLines() (all []kindLine) {
	tr.t.Helper()
	for text := range bytes.Lines(tr.stdout.Bytes()) {
		var l kindLine
		if err := json.Unmarshal(text, &l); err != nil {
			tr.t.Fatalf("%v: %s", err, text)
		}
		all = append(all, l)
	}
	return all
}

// Findings come between the other records that are asked for, in text, and all of
// them at the end.
func TestWatch_FindingsInText(t *testing.T) {
	truth, tr := playWhole(t, "refused", lab.Params{N: 7}, "watch", "--kind", "error,finding")
	text := tr.stdout.String()
	process := fmt.Sprintf("/%d", truth.Conns[0].ClientPID)
	if n := strings.Count(text, "error ECONNREFUSED: connect() fails\n"); n != 7 {
		t.Errorf("%d errors, want 7", n)
	}
	for _, want := range []string{"TIME  ", " warning connect-refused ", "\n1 finding in 7 connections over ", "\nWARNING connect-refused  ", process} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
}

// Each kind that can be asked for gives records of that kind on real traffic, as
// many as there was cause for, and no others.
func TestWatch_EachKind(t *testing.T) {
	for _, test := range []struct {
		kind, story string
		n           int
		want        map[string]int // by what the record says
	}{
		{"state", "client-close", 7, map[string]int{"state": 10*7 + 2}},
		{"retransmit", "syn-unanswered", 7, map[string]int{"retransmit syn": 7, "retransmit_episode": 7}},
		{"reset", "reset-linger", 7, map[string]int{"reset reset-linger": 14}},
		{"drop", "accept-queue-overflow", 23, nil}, // by chance how often each is tried
		{"error", "refused", 7, map[string]int{"error connect ECONNREFUSED": 7}},
		{"error", "syn-unanswered", 7, map[string]int{"error connect ETIMEDOUT": 7}},
		{"error", "fd-exhaustion", 23, map[string]int{"error accept EMFILE": 7}},
		{"error", "reset-linger", 7, map[string]int{"error ECONNRESET in ESTABLISHED": 7}},
		{"connection", "client-close", 7, map[string]int{"connection": 14}},
		{"finding", "refused", 7, map[string]int{"finding connect-refused": 1}},
	} {
		t.Run(test.kind+"/"+test.story, func(t *testing.T) {
			t.Parallel()
			_, tr := playWhole(t, test.story, lab.Params{N: test.n}, "watch", "-o", "json", "--kind", test.kind)
			got := map[string]int{}
			for _, l := range tr.kindLines() {
				if l.Type == "finding" && !l.Final {
					continue // as it arises: once or more
				}
				says := strings.Join(strings.Fields(fmt.Sprint(l.Type, " ", l.Op, " ", l.Errno, " ", l.Rule, " ", l.Class)), " ")
				if l.Type == "reset" {
					says += " " + l.Cause
				}
				if l.Type == "error" && l.Op == "" {
					says += " in " + l.State
				}
				if l.Type == "drop" {
					says = "drop " + l.Queue + l.Reason
				}
				if !strings.HasPrefix(l.Type, test.kind) {
					t.Errorf("a record of type %s", l.Type)
				}
				got[says] += max(1, l.Count*boolInt(l.Type == "error"))
			}
			if test.want == nil {
				if got["drop accept"] == 0 {
					t.Errorf("no packets that met a full accept queue: %v", got)
				}
				return
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

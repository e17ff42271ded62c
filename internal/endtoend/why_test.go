//go:build linux

package endtoend

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// A finding is what these tests read of the record.
type finding struct {
	Type     string
	Rule     string
	ID       string
	Severity string
	Count    int
	Summary  string
	Cause    string
	Advice   string
	Evidence map[string]any
	Process  struct {
		PID int
		Via string
	}
	Peer struct{ PID int } `json:"peer_process"`

	Stack struct {
		Call      string
		Functions []string
		Count, Of int
	}

	Connections []string
	Withdrawn   bool
	Final       bool
}

// findings reads what stands at the end, and checks that what was told before
// it agrees: one finding for each cause, told once or more, and then at the end.
func (tr *tracer) findings() (all []finding) {
	tr.t.Helper()
	told := map[string]bool{}
	for text := range bytes.Lines(tr.stdout.Bytes()) {
		var f finding
		if err := json.Unmarshal(text, &f); err != nil {
			tr.t.Fatalf("%v: %s", err, text)
		}
		switch {
		case f.Type != "finding":
			tr.t.Errorf("a record of another type: %s", text)
		case !f.Final:
			told[f.ID] = true
		case !told[f.ID]:
			tr.t.Errorf("%s is told at the end alone", f.ID)
		default:
			all = append(all, f)
		}
	}
	return all
}

// who names a process of a story by what it did.
func who(pid int, c *lab.TruthConn) string {
	switch pid {
	case 0:
		return "nobody"
	case c.AccepterPID, c.ServerPID:
		if pid != c.ClientPID {
			return "server"
		}
		return "both"
	case c.ClientPID:
		return "client"
	}
	return fmt.Sprint("process ", pid)
}

// playWhole runs a story beside tcptrace to the end of its traffic.
func playWhole(t *testing.T, name string, params lab.Params, args ...string) (*lab.Truth, *tracer) {
	t.Helper()
	var tr *tracer
	params.Over = func(*lab.Truth) error {
		if status := tr.interrupt(); status != 0 {
			t.Errorf("exit status %d, want 0", status)
		}
		return nil
	}
	truth := play(t, name, params, func(netns string) { tr = start(t, nil, append(args, netns)...) })
	return truth, tr
}

// Each way to go wrong is found once, at the right process, with the right
// count, and nothing else is above information.
func TestWhy_Stories(t *testing.T) {
	stuck := lab.Params{Hold: 7 * time.Second}
	for _, test := range lab.Sample(2, []struct {
		story  string
		params lab.Params
		want   []string // "severity rule count process"
	}{
		{"close-wait-leak", stuck, []string{"warning close-wait-leak 23 server"}},
		{"orphan-fin-wait2", lab.Params{}, []string{"warning fin-wait2-stuck 23 both", "info reset-by-peer 23 both"}},
		{"half-close", lab.Params{Hold: 12 * time.Second}, []string{"warning close-wait-leak 23 both", "warning fin-wait2-stuck 23 both"}},
		{"fin-wait1-stuck", lab.Params{}, []string{"warning fin-wait1-stuck 23 both"}},
		{"last-ack-stuck", lab.Params{}, []string{"warning last-ack-stuck 23 both"}},
		{"closing-stuck", lab.Params{}, []string{"warning closing-stuck 23 both", "info simultaneous-close 46 both"}},
		{"time-wait-pressure", lab.Params{}, []string{"warning time-wait-pressure 23 both"}},
		{"ephemeral-port-exhaustion", lab.Params{}, []string{"critical ephemeral-port-exhaustion 7 both"}},
		{"ephemeral-port-pool", lab.Params{}, []string{"warning ephemeral-port-exhaustion 23 both"}},
		{"time-wait-overflow", lab.Params{}, []string{"warning time-wait-overflow 12 both"}},
		{"fd-exhaustion", lab.Params{}, []string{"critical fd-exhaustion 7 server"}},
		{"accept-queue-overflow", lab.Params{}, []string{"warning accept-queue-overflow 22 server", "warning connect-timeout 11 client"}},
		{"syn-flood", lab.Params{}, []string{"warning syn-flood 106 server"}},
		{"handshake-abandoned", lab.Params{}, []string{"warning syn-flood 23 both"}},
		{"refused", lab.Params{}, []string{"warning connect-refused 23 client"}},
		{"syn-unanswered", lab.Params{}, []string{"warning connect-timeout 23 client"}},
		{"connect-scan", lab.Params{}, []string{"warning connect-scan 23 client"}},
		{"dead-peer-keepalive", lab.Params{}, []string{"warning dead-peer 23 both"}},
		{"dead-peer-retransmit", lab.Params{}, []string{"warning dead-peer 23 both"}},
		{"reset-unread", lab.Params{}, []string{"warning reset-unread-data 23 both", "info reset-by-peer 23 both"}},
		{"reset-linger", lab.Params{}, []string{"warning reset-linger 23 both", "info reset-by-peer 23 both"}},
		{"reset-orphan-data", lab.Params{}, []string{"warning reset-after-close 23 both", "info reset-by-peer 23 both"}},
		{"reset-killed", lab.Params{}, []string{"warning reset-aborted 23 both", "info reset-by-peer 23 both"}},
		{"process-killed", lab.Params{}, []string{"warning reset-unread-data 23 server", "info reset-by-peer 23 client"}},
		{"simultaneous-open", lab.Params{}, []string{"info simultaneous-open 46 both"}},
		{"simultaneous-close", lab.Params{}, []string{"info simultaneous-close 46 both"}},
	}) {
		t.Run(test.story, func(t *testing.T) {
			t.Parallel()
			truth, tr := playWhole(t, test.story, test.params, "why", "-o", "json")
			var got []string
			for _, f := range tr.findings() {
				got = append(got, fmt.Sprint(f.Severity, " ", f.Rule, " ", f.Count, " ", who(f.Process.PID, &truth.Conns[0])))
				if known := min(f.Count, 5); len(f.Connections) != known && f.Rule != "time-wait-pressure" && f.Rule != "accept-queue-overflow" && test.story != "ephemeral-port-pool" {
					t.Errorf("%s names %d connections, want %d", f.ID, len(f.Connections), known)
				}
			}
			slices.Sort(got)
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// The sysctls that a finding quotes are those of the namespace concerned, as
// they are when it arises.
func TestWhy_Sysctls(t *testing.T) {
	_, tr := playTraced(t, "time-wait-overflow", lab.Params{}, "why", "-o", "json")
	for _, f := range tr.findings() {
		if got := f.Evidence["tcp_max_tw_buckets"]; f.Rule != "time-wait-overflow" || got != 11.0 {
			t.Errorf("%s, tcp_max_tw_buckets %v; want time-wait-overflow, 11", f.Rule, got)
		}
	}
	if len(tr.findings()) != 1 {
		t.Errorf("it finds:\n%s", tr.stdout.String())
	}
}

// A healthy host is silent, and says of how much.
func TestWhy_Healthy(t *testing.T) {
	for _, test := range []struct {
		story  string
		params lab.Params
		ends   string
	}{
		{"healthy", lab.Params{}, "4,006"},
		{"client-close", lab.Params{N: 2003}, "4,006"},
		{"http", lab.Params{}, "46"},
	} {
		t.Run(test.story, func(t *testing.T) {
			_, tr := playWhole(t, test.story, test.params, "why")
			want := "nothing wrong seen in " + test.ends + " connections over "
			if got := tr.stdout.String(); !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 1 {
				t.Errorf("want %q, and nothing else; it says:\n%s", want, got)
			}
		})
	}
}

// Text says the same to people: a line as the finding arises, then all of it, in
// lines that a narrow terminal can show, and no colour in a pipe.
func TestWhy_Text(t *testing.T) {
	t.Setenv("COLUMNS", "80")
	truth, tr := playWhole(t, "refused", lab.Params{}, "why")
	text := tr.stdout.String()
	process := fmt.Sprintf("/%d", truth.Conns[0].ClientPID)
	for _, want := range []string{
		"1 finding in 23 connections over ", "\nWARNING connect-refused  ",
		"23 calls of connect() to 127.0.0.1:8080 refused; 0 succeeded", process, "\n  do        ", "\n  cost      ", "\n  more      tcptrace ",
		"refused 23, connected 0",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	for line := range strings.Lines(text) {
		if len(line) > 81 || strings.Contains(line, "\x1b") {
			t.Errorf("%d columns: %q", len(line)-1, line)
		}
	}
}

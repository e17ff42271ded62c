//go:build linux

package lab_test

import (
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// A charge is what a diagnosis must say of 23 connections of a story.
type charge struct {
	rule     string
	count    int
	comm     string   // "": the process that runs the story
	failures []string // errno and op of the calls that failed
	failed   []int    // how often
	backlog  int
}

// halfOpen stands for the number of half-open connections: the backlog, and on
// newer kernels one more.
const halfOpen = -1

var charges = map[string]charge{
	"half-close":         {rule: "fin-wait2-stuck", count: 23},
	"close-wait":         {rule: "close-wait-leak", count: 23},
	"orphan-fin-wait2":   {rule: "fin-wait2-stuck", count: 23},
	"simultaneous-close": {rule: "simultaneous-close", count: 46},
	"simultaneous-open":  {rule: "simultaneous-open", count: 46},
	"time-wait-overflow": {rule: "time-wait-overflow", count: 12},
	"refused":            {rule: "connect-refused", count: 23, failures: []string{"ECONNREFUSED connect"}, failed: []int{23}},
	"syn-unanswered":     {rule: "connect-timeout", count: 23, failures: []string{"ETIMEDOUT connect"}, failed: []int{23}},

	"syn-firewalled": {rule: "connect-timeout", count: 23, failures: []string{"ETIMEDOUT connect"}, failed: []int{23}},

	"close-wait-leak":    {rule: "close-wait-leak", count: 23, comm: "lab-leaker"},
	"fd-exhaustion":      {rule: "fd-exhaustion", count: 7, comm: "lab-starver", failures: []string{"EMFILE accept"}, failed: []int{7}},
	"fin-wait1-stuck":    {rule: "fin-wait1-stuck", count: 23},
	"last-ack-stuck":     {rule: "last-ack-stuck", count: 23},
	"closing-stuck":      {rule: "closing-stuck", count: 23},
	"time-wait-pressure": {rule: "time-wait-pressure", count: 23},
	"ephemeral-port-exhaustion": {
		rule: "ephemeral-port-exhaustion", count: 7, failures: []string{"EADDRNOTAVAIL connect"}, failed: []int{7},
	},
	"ephemeral-port-pool": {rule: "ephemeral-port-exhaustion", count: 23},
	"accept-queue-overflow": {
		rule: "accept-queue-overflow", count: 22, comm: "lab-sleeper", backlog: 11,
		failures: []string{"ETIMEDOUT connect"}, failed: []int{11},
	},
	"accept-queue-overflow-abort": {rule: "accept-queue-overflow", count: 10, comm: "lab-sleeper", backlog: 12},
	"syn-flood":                   {rule: "syn-flood", count: halfOpen, backlog: 11},
	"syn-flood-cookies":           {rule: "syn-flood", count: halfOpen, backlog: 11},
	"connect-scan": {
		rule: "connect-scan", count: 23,
		failures: []string{"ECONNREFUSED connect", "ETIMEDOUT connect"}, failed: []int{12, 11},
	},
	"dead-peer-keepalive":  {rule: "dead-peer", count: 23},
	"dead-peer-retransmit": {rule: "dead-peer", count: 23},
	"dead-peer-idle":       {rule: "dead-peer", count: 23},
	"dead-peer-unasked":    {rule: "dead-peer", count: 23},
}

// checkCharge holds that the truth names the rule, the process and the count that
// a diagnosis must find.
func checkCharge(t *testing.T, truth *lab.Truth, want charge) {
	if truth.Finding == nil {
		t.Fatal("the truth tells of no finding")
	}
	got := charge{rule: truth.Finding.Rule, count: truth.Finding.Count}
	if want.count == halfOpen {
		want.count = len(truth.Conns)
	}
	if truth.Finding.PID != os.Getpid() {
		got.comm = truth.Finding.Comm
	}
	for _, f := range truth.Failures {
		got.failures = append(got.failures, f.Errno+" "+f.Op)
		got.failed = append(got.failed, f.Count)
		if f.PID == 0 || f.Comm == "" {
			t.Errorf("%s: process %d %q", f.Errno, f.PID, f.Comm)
		}
	}
	for _, l := range truth.Listeners {
		got.backlog = l.Backlog
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(charge{})); diff != "" {
		t.Errorf("charge (-want +truth):\n%s", diff)
	}
}

// TestRun_LeakTellsItsDescriptors: each connection that a leaker keeps has a
// descriptor of its own. Needs root.
func TestRun_LeakTellsItsDescriptors(t *testing.T) {
	needNamespaces(t)
	truth, err := lookup(t, "close-wait-leak").Run(t.Context(), lab.Params{N: 7})
	if err != nil {
		t.Fatal(err)
	}
	var fds []int
	for _, c := range truth.Conns {
		fds = append(fds, c.ServerFD)
	}
	slices.Sort(fds)
	if slices.Contains(fds, 0) || len(slices.Compact(fds)) != 7 {
		t.Errorf("descriptors %v, want 7 that differ", fds)
	}
}

// TestStories_RulesAreTheirCharges: a story names the rule that its truth names,
// and each charge is one of a story.
func TestStories_RulesAreTheirCharges(t *testing.T) {
	for name := range charges {
		lookup(t, name)
	}
	for _, story := range lab.Stories() {
		if want, ok := charges[story.Name]; ok && want.rule != story.Rule {
			t.Errorf("story %s is about %q, want %q", story.Name, story.Rule, want.rule)
		}
	}
}

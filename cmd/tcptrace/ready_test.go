package main

import (
	"strings"
	"testing"

	"github.com/tcptrace/tcptrace/internal/probe"
)

// What the host takes away is named as tracing begins, in a line for each grade.
// What the options leave out is not: the user knows.
func TestLive_NamesWhatTheHostLacks(t *testing.T) {
	var stderr strings.Builder
	new(live).ready(&stderr, []probe.Capability{
		{Name: "transitions", Grade: probe.Exact},
		{Name: "accept()", Grade: probe.Bounded, Why: "it has no BPF trampolines"},
		{Name: "full listen queues", Grade: probe.Bounded, Why: "this kernel's kfree_skb does not name the receiving socket"},
		{Name: "failed connect() and accept()", Grade: probe.Bounded, Why: "left out"},
		{Name: "dropped packets", Grade: probe.Absent, Why: "this kernel's kfree_skb does not say why"},
	})
	const want = `tracing TCP connections; Ctrl-C to end
tcptrace: not seen on this host: dropped packets; "tcptrace doctor" says why
tcptrace: less is known on this host of: accept(), full listen queues; "tcptrace doctor" says why
`
	if got := stderr.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

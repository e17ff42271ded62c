//go:build linux

package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A subject is a tracer, or none.
type subject struct {
	name string
	doc  string
	argv []string // nil: nothing traces
	ours bool     // it says when it is ready, and what it lost
}

// nothing is what the others are compared with.
const nothing = "nothing"

// subjects returns what is measured. A peer that this host has not is left out,
// and named.
func subjects(tcptrace, dir, only string) (found []subject, missing []string) {
	recording := filepath.Join(dir, "recording")
	all := []subject{
		{name: nothing, doc: "no tracer"},
		{name: "tcpstates", doc: "libbpf-tools: each transition but SYN_RECV's begin and TIME_WAIT", argv: []string{"tcpstates"}},
		{name: "tcplife", doc: "libbpf-tools: a line a connection", argv: []string{"tcplife"}},
		{name: "tcplife.bt", doc: "bpftrace: a line a connection", argv: []string{"tcplife.bt"}},
		{name: "record", doc: "tcptrace: every event to a file", argv: []string{tcptrace, "record", "--force", recording}, ours: true},
		{name: "conns", doc: "tcptrace: a line a connection", argv: []string{tcptrace, "conns"}, ours: true},
		{name: "watch", doc: "tcptrace: `watch -o json`, every transition", argv: []string{tcptrace, "watch", "-o", "json"}, ours: true},
		{name: "why", doc: "tcptrace: what is wrong", argv: []string{tcptrace, "why"}, ours: true},
		{name: "agent", doc: "tcptrace: metrics", argv: []string{tcptrace, "agent", "--listen", "127.0.0.1:0"}, ours: true},
	}
	wanted := strings.Split(only, ",")
	for _, s := range all {
		if only != "" && s.name != nothing && !slices.Contains(wanted, s.name) {
			continue
		}
		if s.argv != nil {
			path, err := exec.LookPath(s.argv[0])
			if err != nil {
				missing = append(missing, s.name)
				continue
			}
			s.argv[0] = path
		}
		found = append(found, s)
	}
	return found, missing
}

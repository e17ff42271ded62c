//go:build linux

package endtoend

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// One line for each end of each connection, with its states in order.
func TestConns_Text(t *testing.T) {
	var tr *tracer
	truth := play(t, "client-close", lab.Params{}, func(netns string) { tr = start(t, nil, "conns", netns) })
	if status := tr.interrupt(); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	const d = ` [0-9.]+(ns|us|ms|s)`
	client := regexp.MustCompile(` client .* fin +SYN_SENT` + d + ` ESTABLISHED` + d + ` FIN_WAIT1` + d + ` FIN_WAIT2` + d + ` TIME_WAIT` + d + `$`)
	server := regexp.MustCompile(` server .* fin +SYN_RECV` + d + ` ESTABLISHED` + d + ` CLOSE_WAIT` + d + ` LAST_ACK` + d + `$`)
	lines := strings.Split(strings.TrimSuffix(tr.stdout.String(), "\n"), "\n")
	if !strings.HasPrefix(lines[0], "CLOSED ") {
		t.Errorf("no header, but %q", lines[0])
	}
	got := map[string]int{}
	ours := map[string]bool{} // others may follow, in namespaces with the same inodes
	for _, c := range truth.Conns {
		ours[c.Client.String()] = true
	}
	for _, l := range lines[1:] {
		if fields := strings.Fields(l); len(fields) > 4 && !ours[fields[3]] && !ours[fields[4]] {
			continue
		}
		switch {
		case client.MatchString(l):
			got["client"]++
		case server.MatchString(l):
			got["server"]++
		default:
			t.Errorf("a strange line: %s", l)
		}
	}
	if diff := cmp.Diff(map[string]int{"client": n, "server": n}, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestConns_OpenOnlyIfAskedFor(t *testing.T) {
	var without, with *tracer
	params := lab.Params{Held: func(*lab.Truth) error {
		for _, tr := range []*tracer{without, with} {
			if status := tr.interrupt(); status != 0 {
				t.Errorf("exit status %d, want 0", status)
			}
		}
		return nil
	}}
	play(t, "half-close", params, func(netns string) {
		without = start(t, nil, "conns", "-o", "json", netns)
		with = start(t, nil, "conns", "-o", "json", "--open", "--state", "close_wait", netns)
	})
	if got := len(without.records()); got != 0 {
		t.Errorf("%d records without --open, want 0", got)
	}
	got := map[string]int{}
	for _, l := range with.records() {
		got[l.Type+" "+l.Role+" "+strconv.FormatBool(l.Open)]++
	}
	if diff := cmp.Diff(map[string]int{"connection server true": n}, got); diff != "" {
		t.Errorf("records with --open --state close_wait (-want +got):\n%s", diff)
	}
}

// Both ends are this process's; the server's is known only when it closes, and
// what came before is shown all the same.
func TestWatch_PID(t *testing.T) {
	var ours, anothers *tracer
	truth := play(t, "client-close", lab.Params{}, func(netns string) {
		ours = start(t, nil, "watch", "-o", "json", "--pid", strconv.Itoa(os.Getpid()), netns)
		anothers = start(t, nil, "watch", "-o", "json", "--pid", "1", netns)
	})
	for _, tr := range []*tracer{ours, anothers} {
		if status := tr.interrupt(); status != 0 {
			t.Errorf("exit status %d, want 0", status)
		}
	}
	story, _ := lab.Lookup("client-close")
	want := map[string]int{"->": 2 * n}
	for _, tt := range story.Transitions() {
		want[tt.String()] = n
	}
	want["CLOSE->LISTEN"], want["LISTEN->CLOSE"] = 1, 1
	got := map[string]int{}
	for _, l := range ours.recordsOf(truth) {
		got[l.Old+"->"+l.New]++
		if l.Process.PID != os.Getpid() {
			t.Errorf("a record of process %d, want %d", l.Process.PID, os.Getpid())
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records of our process (-want +got):\n%s", diff)
	}
	if got := anothers.stdout.String(); got != "" {
		t.Errorf("records of process 1:\n%s", got)
	}
}

func TestDoctor(t *testing.T) {
	out, err := exec.Command(binary, "doctor", "-o", "json").Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	grades, types := map[string]string{}, map[string]int{}
	for text := range strings.Lines(string(out)) {
		var c struct{ Type, Name, Grade string }
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		types[c.Type]++
		if c.Type == "capability" {
			grades[c.Name] = c.Grade
		}
	}
	if types["privilege"] < 2 || types["host"] != 1 || len(types) != 3 {
		t.Errorf("records by type: %v", types)
	}
	if grades["transitions"] != "exact" {
		t.Errorf("transitions are %q, want exact: %v", grades["transitions"], grades)
	}
	text, err := exec.Command(binary, "doctor").Output()
	if err != nil || !strings.HasPrefix(string(text), "CAPABILITY ") {
		t.Errorf("%v: %s", err, text)
	}
}

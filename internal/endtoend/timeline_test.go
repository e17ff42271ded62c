//go:build linux

package endtoend

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// While the server does not close, every row of its process ends in CLOSE_WAIT,
// and every row of the client in FIN_WAIT2; and the tables say how many there
// are.
func TestTimeline_HalfClose(t *testing.T) {
	t.Setenv("COLUMNS", "120")
	var text *tracer
	params := lab.Params{Held: func(*lab.Truth) error {
		if status := text.interrupt(); status != 0 {
			t.Errorf("exit status %d, want 0", status)
		}
		return nil
	}}
	play(t, "half-close", params, func(netns string) { text = start(t, nil, "timeline", "--ascii", netns) })

	client := regexp.MustCompile(`^ :\d+->\S+ .*2=*> [E12] .*  open( 2 \S+)?$`)
	server := regexp.MustCompile(`^ :\d+<-\S+ .*C=*> [EC] .*  open( C \S+)?$`)
	finWait2 := regexp.MustCompile(`^  FIN_WAIT2 +0 +23 +\S+ :\d+->\S+$`)
	closeWait := regexp.MustCompile(`^  CLOSE_WAIT +0 +23 +\S+ :\d+<-\S+$`)
	got := map[string]int{}
	for _, l := range strings.Split(text.stdout.String(), "\n") {
		for name, pattern := range map[string]*regexp.Regexp{
			"client": client, "server": server, "FIN_WAIT2": finWait2, "CLOSE_WAIT": closeWait,
		} {
			if pattern.MatchString(l) {
				got[name]++
			}
		}
	}
	if diff := cmp.Diff(map[string]int{"client": n, "server": n, "FIN_WAIT2": 1, "CLOSE_WAIT": 1}, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s\n%s", diff, text.stdout.String())
	}
}

// Each connection is a record with its RST as a mark, and the process one that
// counts them all.
func TestTimeline_JSON(t *testing.T) {
	var tr *tracer
	play(t, "reset-linger", lab.Params{}, func(netns string) { tr = start(t, nil, "timeline", "-o", "json", netns) })
	if status := tr.interrupt(); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	got := map[string]int{}
	for text := range bytes.Lines(tr.stdout.Bytes()) {
		var r struct {
			Type, Role, End string
			Connections     int
			Marks           []struct{ Kind, Direction, Reason string }
			States          json.RawMessage
		}
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if r.Type == "timeline_process" {
			got[r.Type] += r.Connections
			continue
		}
		for _, m := range r.Marks {
			got[r.Role+" "+r.End+": "+m.Kind+" "+m.Direction]++
		}
	}
	want := map[string]int{
		"client reset_sent: reset sent": n, "server reset_received: reset received": n, "timeline_process": 2 * n,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

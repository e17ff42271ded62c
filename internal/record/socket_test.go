package record

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
)

func TestAppendSocket(t *testing.T) {
	c := story.Census()
	var got []byte
	for _, s := range c.Sorted() {
		got = AppendSocket(got, s, c, story.Clock)
	}
	compareJSON(t, "sockets.jsonl", got)
}

func TestAppendSummary(t *testing.T) {
	c := story.Census()
	rows, total := c.Summarize()
	var got []byte
	for _, r := range append(rows, total) {
		got = AppendSummary(got, &r, c.Time, story.Clock)
	}
	compareJSON(t, "summary.jsonl", got)
}

func compareJSON(t *testing.T, name string, got []byte) {
	t.Helper()
	for line := range bytes.Lines(got) {
		if !json.Valid(line) {
			t.Errorf("not JSON: %s", line)
		}
	}
	compareGolden(t, filepath.Join("testdata", name), got)
}

func TestAppendSocket_AllocatesNothing(t *testing.T) {
	c := story.Census()
	buf := make([]byte, 0, 4096)
	for i := range c.Sockets {
		if n := testing.AllocsPerRun(10, func() { buf = AppendSocket(buf[:0], &c.Sockets[i], c, story.Clock) }); n != 0 {
			t.Errorf("%v allocations for %s", n, buf)
		}
	}
}

// What is known of a process is in each record that names it.
func TestAppend_Label(t *testing.T) {
	client := story.NewSocket(1, "10.0.0.1:40000", "10.9.8.7:443")
	owner := story.Task(4194304, "java")
	owner.Label = story.Label(&owner, 0)
	buf := make([]byte, 0, 4096)
	var records int
	story.Tell(client.Connect(1e9, 1e6, owner), 2e9, func(c *conn.Change) {
		buf = Append(buf[:0], c, story.Clock)
		var got struct{ Process event.Label }
		if err := json.Unmarshal(buf, &got); err != nil {
			t.Fatal(err)
		}
		want := event.Label{Container: story.Container, Runtime: "docker", Cgroup: owner.Label.Cgroup, Exe: "/usr/bin/java", Cmdline: owner.Label.Cmdline}
		if got.Process != want {
			t.Errorf("process %+v, want %+v", got.Process, want)
		}
		if n := testing.AllocsPerRun(10, func() { buf = Append(buf[:0], c, story.Clock) }); n != 0 {
			t.Errorf("%v allocations for %s", n, buf)
		}
		records++
	})
	if records != 3 {
		t.Errorf("%d records, want 3", records)
	}
}

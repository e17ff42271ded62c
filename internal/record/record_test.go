package record

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestAppend compares the records of whole lives with golden files, and checks
// that each is JSON.
func TestAppend(t *testing.T) {
	for name, life := range map[string]struct {
		events []event.Event
		end    time.Duration
	}{
		"plain":     {story.Plain(), 2 * time.Minute},
		"refused":   {story.Refused(), time.Minute},
		"lossy":     {story.Lossy(), time.Minute},
		"handed_on": {story.HandedOn(), 2 * time.Minute},
		"healed":    {story.Healed(), 2 * time.Minute},
		"killed":    {story.Killed(), time.Minute},
		"hostile":   {story.Hostile(), time.Minute},
		"listener":  {story.Listener(), 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			var got []byte
			story.Tell(life.events, life.end, func(c *conn.Change) { got = Append(got, c, story.Clock) })
			for line := range bytes.Lines(got) {
				if !json.Valid(line) {
					t.Errorf("not JSON: %s", line)
				}
			}
			compareGolden(t, filepath.Join("testdata", name+".jsonl"), got)
		})
	}
}

func compareGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestAppend_AllocatesNothing(t *testing.T) {
	for _, events := range [][]event.Event{story.Plain(), story.Lossy(), story.Refused()} {
		story.Tell(events, 2*time.Minute, func(c *conn.Change) {
			buf := make([]byte, 0, 4096)
			if n := testing.AllocsPerRun(10, func() { buf = Append(buf[:0], c, story.Clock) }); n != 0 {
				t.Errorf("%v allocations for %s", n, buf)
			}
		})
	}
}

func BenchmarkAppend_State(b *testing.B) {
	var changes []conn.Change
	var owners []conn.Connection
	story.Tell(story.Plain(), time.Minute, func(c *conn.Change) {
		if c.Kind == conn.Transition {
			owners = append(owners, *c.Conn)
			changes = append(changes, *c)
		}
	})
	for i := range changes {
		changes[i].Conn = &owners[i]
	}
	buf := make([]byte, 0, 4096)
	for i := 0; b.Loop(); i++ {
		buf = Append(buf[:0], &changes[i%len(changes)], story.Clock)
	}
}

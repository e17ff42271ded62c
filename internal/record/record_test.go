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

// FuzzAppendString holds appendString against encoding/json: a decoder sees
// the same text, and no byte of it can be taken for a control character.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{
		"", "nginx", `a"b\c`, "\x1b[31mx", "\x00\x7f\x80", "\u2028\u2029\u202e", "\xff\xfe", "日本語", "\U0001f600\U000e0001", "\u009b31m",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		ours := appendString(nil, string(s))
		theirs, err := json.Marshal(string(s))
		if err != nil {
			t.Fatal(err)
		}
		var got, want string
		if err := json.Unmarshal(ours, &got); err != nil {
			t.Fatalf("%q: %v", ours, err)
		}
		if err := json.Unmarshal(theirs, &want); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%q is read as %q, want %q", ours, got, want)
		}
		for _, r := range string(ours) {
			if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e {
				t.Errorf("%q holds the control character %U", ours, r)
			}
		}
	})
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

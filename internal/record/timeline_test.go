package record

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/timeline"
)

// TestAppendTimeline compares the records of whole lives, and of their
// processes, with a golden file, and checks that each is JSON.
func TestAppendTimeline(t *testing.T) {
	const end = 3 * time.Minute
	l := timeline.NewCollector(timeline.Options{})
	story.Tell(story.Join(story.Plain(), story.Refused(), story.Lossy(), story.Killed(), story.Hostile()), end,
		func(c *conn.Change) { l.Show(c) })
	var got []byte
	for _, c := range l.Connections() {
		got = AppendTimeline(got, c, event.Time(end), story.Clock)
	}
	for _, p := range l.Processes(event.Time(end)) {
		got = AppendTimelineProcess(got, p, event.Time(end), story.Clock)
	}
	for line := range bytes.Lines(got) {
		if !json.Valid(line) {
			t.Errorf("not JSON: %s", line)
		}
	}
	compareGolden(t, filepath.Join("testdata", "timeline.jsonl"), got)
}

// States follow each other without a gap, and begin where begin_mono_ns says.
func TestAppendTimeline_Offsets(t *testing.T) {
	l := timeline.NewCollector(timeline.Options{})
	story.Tell(story.Plain(), time.Minute, func(c *conn.Change) { l.Show(c) })
	for _, c := range l.Connections() {
		var r struct {
			Begin    int64 `json:"begin_mono_ns"`
			Lifetime int64 `json:"lifetime_ns"`
			Mono     int64 `json:"mono_ns"`
			States   []struct {
				Begin int64 `json:"begin_ns"`
				NS    int64 `json:"ns"`
			}
		}
		if err := json.Unmarshal(AppendTimeline(nil, c, event.Time(time.Minute), story.Clock), &r); err != nil {
			t.Fatal(err)
		}
		next := int64(0)
		for _, s := range r.States {
			if s.Begin != next {
				t.Errorf("a state begins at %d, want %d", s.Begin, next)
			}
			next += s.NS
		}
		if next != r.Lifetime || r.Begin+r.Lifetime != r.Mono || len(r.States) < 4 {
			t.Errorf("%+v does not add up", r)
		}
	}
}

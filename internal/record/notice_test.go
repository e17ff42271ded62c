package record

import (
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// Drops and errors, of connections and of none.
func TestAppend_Notices(t *testing.T) {
	var got []byte
	story.Tell(story.Notices(), time.Minute, func(c *conn.Change) {
		switch c.Kind {
		case conn.Dropped, conn.QueueFull, conn.Failed:
			got = Append(got, c, story.Clock)
		case conn.Transition:
			if failed, ok := trace.Errored(c); ok {
				got = Append(got, &failed, story.Clock)
			}
		}
	})
	compareGolden(t, "testdata/notices.jsonl", got)
}

package render

import (
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// Drops and errors, of connections and of none.
func TestAppendWatch_Notices(t *testing.T) {
	got := AppendWatchHeader(nil)
	story.Tell(story.Notices(), time.Minute, func(c *conn.Change) {
		switch c.Kind {
		case conn.Dropped, conn.QueueFull, conn.Failed:
			got = plain.AppendWatch(got, c)
		case conn.Transition:
			if failed, ok := trace.Errored(c); ok {
				got = plain.AppendWatch(got, &failed)
			}
		}
	})
	compareGolden(t, "notices.txt", got)
}

package render

import (
	"strings"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
)

// The container and the command line end a connection's line, and whatever
// they hold, they cannot disturb a terminal.
func TestAppendConn_Label(t *testing.T) {
	for _, test := range []struct {
		label event.Label
		want  string
	}{
		{event.Label{Cgroup: "/user.slice"}, ""},
		{event.Label{Container: story.Container}, " container=3f2a9c01b7de"},
		{event.Label{Container: "\x1b[31m"}, ` container=\x1b[31m`},
		{event.Label{Cmdline: "java -jar app.jar"}, " cmdline=java -jar app.jar"},
		{event.Label{Cmdline: "\x1b]0;x\a\n\u202e\xff"}, ` cmdline=\x1b]0;x\x07\x0a\u202e\xff`},
		{event.Label{Cmdline: strings.Repeat("日", 2000)}, " cmdline=" + strings.Repeat("日", 39) + "~"},
	} {
		owner := story.Task(7, "java")
		owner.Label = &test.label
		client := story.NewSocket(1, "10.0.0.1:40000", "10.9.8.7:443")
		story.Tell(client.Connect(time.Second, time.Millisecond, owner), time.Minute, func(c *conn.Change) {
			if c.Kind != conn.Ended {
				return
			}
			line := strings.TrimSuffix(string(plain.AppendConn(nil, c)), "\n")
			if _, got, _ := strings.Cut(line, "ESTABLISHED 58.9s"); got != test.want {
				t.Errorf("%q, want %q: %s", got, test.want, line)
			}
		})
	}
}

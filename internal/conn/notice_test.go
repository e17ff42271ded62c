package conn

import (
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A fact that changes nothing is passed on, whether its connection is known,
// over, or was never there.
func TestTracker_Notices(t *testing.T) {
	c := aClient
	notice := func(at time.Duration, kind event.Kind, cookie uint64) *event.Event {
		ev := c.state(at, tcp.Unknown, tcp.Unknown)
		ev.Kind, ev.ID.Cookie = kind, cookie
		return ev
	}
	story(t, `
		1s client/c1:4000 CLOSE>SYN_SENT ?
		1.001s client/c1:4000 SYN_SENT>ESTABLISHED 1ms
		2s client/c1:4000 dropped
		2s - failed by curl
		16m40s client/c1:4000 ended open SYN_SENT=1ms ESTABLISHED=...`,
		c.connected(1*s),
		notice(2*s, event.Dropped, c.id.Cookie),
		by("curl", notice(2*s, event.Failed, 0)),
	)
}

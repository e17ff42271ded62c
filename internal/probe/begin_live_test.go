//go:build linux

package probe_test

import (
	"context"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A trace that begins amid traffic attaches its programs one after the other.
// What the first ones saw while others were missing is not told: no handshake
// that made a connection seems to die, and no state seems to be left out.
func TestLive_BeginAmidChurn(t *testing.T) {
	story, err := lab.Lookup("churn")
	if err != nil {
		t.Fatal(err)
	}
	families(t, func(t *testing.T, params lab.Params) {
		params.Duration = 2 * time.Second // of which loading takes a part
		lab.Unshielded(t.Logf, func() {
			died, illegal, ended := 0, 0, 0
			tracker := conn.New(conn.Options{})
			change := func(c *conn.Change) {
				switch {
				case c.Kind == conn.Ended:
					ended++
				case c.Kind == conn.Transition && c.Illegal:
					illegal++
				case c.Kind == conn.Transition && c.Old == tcp.SynRecv && c.New == tcp.Close:
					died++
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			params.Ready = func(netns []uint32) error {
				go func() { // the churn begins meanwhile
					var options probe.Options
					options.Filter.NetNS = netns
					source, err := open(options)
					if err == nil {
						err = source.Run(ctx, func(ev *event.Event) { tracker.Handle(ev, change) })
						_ = source.Close()
					}
					done <- err
				}()
				return nil
			}
			if _, err := story.Run(ctx, params); err != nil {
				t.Fatal(err)
			}
			cancel()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if ended == 0 {
				t.Fatal("the churn was over before it was traced: the test shows nothing")
			}
			if died != 0 || illegal != 0 {
				t.Errorf("of %d connections %d seem to have died in their handshake, and %d transitions are illegal", ended, died, illegal)
			}
		})
	})
}

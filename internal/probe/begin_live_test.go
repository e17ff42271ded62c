//go:build linux

package probe_test

import (
	"context"
	"errors"
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
	families(t, func(t *testing.T, params lab.Params) {
		amidChurn(t, params, func(churn, _ context.CancelFunc) { churn() })
	})
}

// One that ends amid traffic takes them away one after the other.
func TestLive_EndAmidChurn(t *testing.T) {
	families(t, func(t *testing.T, params lab.Params) {
		amidChurn(t, params, func(_, trace context.CancelFunc) { trace() })
	})
}

// amidChurn traces a churn that is under way, and calls end, which stops one of the
// two, when enough connections were seen to end.
func amidChurn(t *testing.T, params lab.Params, end func(churn, trace context.CancelFunc)) {
	const enough = 1009
	story, err := lab.Lookup("churn")
	if err != nil {
		t.Fatal(err)
	}
	params.Duration = time.Minute // at most: however long loading takes
	lab.Unshielded(t.Logf, func() {
		churning, stopChurn := context.WithCancel(t.Context())
		defer stopChurn()
		tracing, stopTrace := context.WithCancel(t.Context())
		defer stopTrace()
		died, illegal, ended := 0, 0, 0
		tracker := conn.New(conn.Options{})
		change := func(c *conn.Change) {
			switch {
			case c.Kind == conn.Ended:
				if ended++; ended == enough {
					end(stopChurn, stopTrace)
				}
			case c.Kind == conn.Transition && c.Illegal:
				illegal++
			case c.Kind == conn.Transition && c.Old == tcp.SynRecv && c.New == tcp.Close:
				died++
			}
		}
		done := make(chan error, 1)
		params.Ready = func(netns []uint32) error {
			go func() { // the churn begins meanwhile
				defer stopChurn()
				var options probe.Options
				options.Filter.NetNS = netns
				source, err := open(options)
				if err == nil {
					err = source.Run(tracing, func(ev *event.Event) { tracker.Handle(ev, change) })
					_ = source.Close()
				}
				done <- err
			}()
			return nil
		}
		_, played := story.Run(churning, params)
		stopTrace()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if !errors.Is(played, context.Canceled) {
			t.Fatalf("the churn ended by itself, with error %v, and %d connections seen to end, want %d", played, ended, enough)
		}
		if died != 0 || illegal != 0 {
			t.Errorf("of %d connections %d seem to have died in their handshake, and %d transitions are illegal", ended, died, illegal)
		}
	})
}

//go:build linux

package lab

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// stall is long enough for a kernel to send again what is not acknowledged.
const stall = 700 * time.Millisecond

// TestWire_CarriesNothingTwice delays the servers' FINs until they were sent
// again, as a stall of this process would. The copies must not reach the
// clients: their TIME_WAIT would be ended by a RST. Needs root.
func TestWire_CarriesNothingTwice(t *testing.T) {
	if err := Allowed(); errors.Is(err, ErrNotAllowed) {
		t.Skip(err)
	}
	story := Story{
		Name:     "stalled-wire",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: []Network{Wire},
		play: func(ctx context.Context, st *stage) error {
			var goesOn time.Time // the stall's end
			st.net.wire.setRule(func(w *wire, s segment) {
				if s.from != serverSide || s.flags&flagFIN == 0 {
					w.pass(s)
					return
				}
				if goesOn.IsZero() {
					goesOn = time.Now().Add(stall)
				}
				w.passAfter(time.Until(goesOn), s)
			})
			if err := st.closeInOrder(ctx, clientFirst); err != nil {
				return err
			}
			// What a copy does, it does now.
			if err := sleep(ctx, stall); err != nil {
				return err
			}
			return st.await(ctx, census{tcp.TimeWait: st.p.N})
		},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	truth, err := story.Run(ctx, Params{N: 1})
	if err != nil {
		t.Fatal(err)
	}
	client, server := truth.NetNS[0].Counters, truth.NetNS[1].Counters
	if server["RetransSegs"] == 0 {
		t.Error("the server's FIN was not sent again: the test shows nothing")
	}
	if client["TW"] != 1 || server["OutRsts"] != 0 {
		t.Errorf("%d in TIME_WAIT and %d RSTs, want 1 and 0", client["TW"], server["OutRsts"])
	}
}

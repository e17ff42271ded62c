package conn

import (
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// closing is a socket in FIN_WAIT2 that goes to CLOSE at at, the first that is
// known of it.
func closing(n int, at time.Duration) []*event.Event {
	c := numbered(n)
	return events(
		c.state(at-1*ms, tcp.FinWait1, tcp.FinWait2),
		portKnown(c, c.state(at, tcp.FinWait2, tcp.Close)),
	)
}

// ends returns how each connection ended, in order.
func ends(t *Tracker, evs []*event.Event, finish time.Duration) []End {
	var all []End
	emit := func(c *Change) {
		if c.Kind == Ended {
			all = append(all, c.Conn.End)
		}
	}
	for _, ev := range evs {
		t.Handle(ev, emit)
	}
	t.Finish(event.Time(finish), emit)
	return all
}

// Several wait at once, and are decided in another order than they came.
func TestTracker_ManyDoubts(t *testing.T) {
	tests := map[string]struct {
		decided []int // by a RST sent, of connections 0 to 3
		want    []End
	}{
		"none":   {nil, []End{EndOverflow, EndOverflow, EndOverflow, EndOverflow}},
		"first":  {[]int{0}, []End{EndResetSent, EndOverflow, EndOverflow, EndOverflow}},
		"middle": {[]int{2}, []End{EndResetSent, EndOverflow, EndOverflow, EndOverflow}},
		"last":   {[]int{3}, []End{EndResetSent, EndOverflow, EndOverflow, EndOverflow}},
		"some":   {[]int{1, 3, 0}, []End{EndResetSent, EndResetSent, EndResetSent, EndOverflow}},
		"all":    {[]int{3, 1, 0, 2}, []End{EndResetSent, EndResetSent, EndResetSent, EndResetSent}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tr := New(Options{})
			for round := range 3 { // what was queued before does not matter
				at := time.Duration(round+1) * 10 * s
				var evs []*event.Event
				for n := range 4 {
					evs = append(evs, closing(n, at+time.Duration(n)*us)...)
				}
				for i, n := range tt.decided {
					evs = append(evs, numbered(n).resetSent(at+time.Duration(10+i)*us, tcp.Close))
				}
				got := ends(tr, evs, at+1*s)
				if len(got) != len(tt.want) {
					t.Fatalf("round %d: ended %v, want %v", round, got, tt.want)
				}
				for i := range got {
					if got[i] != tt.want[i] {
						t.Fatalf("round %d: ended %v, want %v", round, got, tt.want)
					}
				}
			}
		})
	}
}

// The same cookie connects again before it is settled how it ended.
func TestTracker_RebornInDoubt(t *testing.T) {
	c := aClient
	tr := story(t, inFinWait2Told+`
		3s client/c1:4000 FIN_WAIT2>CLOSE 999ms overflow
		3s client/c1:4000 ended overflow owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=999ms
		3.00002s client/c1:4000 CLOSE>SYN_SENT ?
		16m40s client/c1:4000 ended open SYN_SENT=...`,
		inFinWait2(c),
		c.state(3*s, tcp.FinWait2, tcp.Close),
		portKnown(c, c.state(3*s+20*us, tcp.Close, tcp.SynSent)))
	if n := tr.Stats().Reborn; n != 0 {
		t.Errorf("%d reborn, want 0: its death was seen", n)
	}
}

// A RST received in FIN_WAIT1 and none sent, nor a CLOSE: told, and no end.
func TestTracker_ResetInFinWait1WithoutClose(t *testing.T) {
	c := aClient
	story(t, connectedTold+`
		2s client/c1:4000 ESTABLISHED>FIN_WAIT1 999ms
		3s client/c1:4000 reset received in FIN_WAIT1
		4s client/c1:4000 FIN_WAIT1>FIN_WAIT2 2s
		16m40s client/c1:4000 ended open SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=2s FIN_WAIT2=...`,
		c.connected(1*s),
		c.state(2*s, tcp.Established, tcp.FinWait1),
		c.resetReceived(3*s, tcp.FinWait1),
		c.state(4*s, tcp.FinWait1, tcp.FinWait2))
}

//go:build linux

package probe_test

import (
	"testing"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/probe"
)

// Of four sockets one is told of, with all that happens to it; of the others
// nothing is but their number. Then all are told of again.
func TestLive_Shed_TellsOfWholeConnections(t *testing.T) {
	const n = 101
	shedding := event.Shedding{Sockets: 2}
	var during, after map[uint64]bool
	events, g := playOn(t, probe.Options{}, func(g *ground) {
		listener, _ := listen(8)
		play := func() map[uint64]bool {
			cookies := map[uint64]bool{}
			for range n {
				client, server := pair(listener)
				cookies[cookieOf(client)], cookies[cookieOf(server)] = true, true
				closeAll(client, server)
			}
			return cookies
		}
		must(g.source.Shed(shedding))
		during = play()
		must(g.source.Shed(event.Shedding{}))
		after = play()
		closeAll(listener)
	})
	told := map[uint64]int{}
	for _, ev := range of(events, event.State) {
		told[ev.ID.Cookie]++
	}
	left := 0
	for cookie := range during {
		switch got := told[cookie]; {
		case !shedding.Tells(cookie):
			if left++; got != 0 {
				t.Errorf("cookie %x is told of %d times", cookie, got)
			}
		case got != 4 && got != 5: // of a server and of a client
			t.Errorf("cookie %x: %d transitions", cookie, got)
		}
	}
	for cookie := range after {
		if got := told[cookie]; got != 4 && got != 5 {
			t.Errorf("after that, cookie %x: %d transitions", cookie, got)
		}
	}
	tally := g.tally[event.State]
	if want := uint64(2*n*(4+5) + 2); tally.Sent+tally.Shed != want || tally.Shed == 0 || tally.Lost != 0 {
		t.Errorf("%+v, together not the %d transitions that there were", tally, want)
	}
	t.Logf("of %d sockets %d are left out", len(during), left)
}

// Retransmits are counted, drops are not told; what was left out is known.
func TestLive_Shed_CountsRetransmitsAndLeavesOutDrops(t *testing.T) {
	var counter, dropped int
	events, g := playOn(t, probe.Options{}, func(g *ground) {
		must(g.source.Shed(event.Shedding{Drops: true, Retransmits: true}))
		listener, port := listen(8)
		counter, dropped = g.sendWithLoss(listener, port, 100)
	})
	counted := 0
	for _, ev := range of(events, event.RetransmitMore) {
		for _, n := range ev.Suppressed.ByClass {
			counted += int(n)
		}
	}
	if counted != counter || len(of(events, event.Retransmit)) != 0 || len(of(events, event.Dropped)) != 0 {
		t.Errorf("%d retransmits counted and %d told, the kernel counts %d; %d drops told",
			counted, len(of(events, event.Retransmit)), counter, len(of(events, event.Dropped)))
	}
	if shed := g.tally[event.Dropped].Shed; int(shed) < dropped || dropped == 0 {
		t.Errorf("%d drops are counted as left out, the firewall counts %d", shed, dropped)
	}
}

package diagnose_test

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// resetting is a server's connection that its process ends by a RST, which
// facts tell the reason of.
func resetting(server story.Socket, at time.Duration, reason string, facts event.ResetFacts) []event.Event {
	sent := story.By(shop, server.ResetSent(at+1*s+2*us, tcp.Close, reason))
	sent.Reset = facts
	return story.Join(
		served(server, at, shop),
		story.By(shop, server.State(at+1*s, tcp.Established, tcp.Close)),
		sent,
	)
}

func resets(n int, reason string, facts event.ResetFacts) []event.Event {
	return each(n, func(i int, _, server story.Socket) []event.Event {
		return resetting(server, time.Duration(i+1)*10*ms, reason, facts)
	})
}

// amid are n lives as they should be.
func amid(n int) []event.Event {
	return each(n, func(i int, _, server story.Socket) []event.Event {
		server.ID.Cookie += 0x10000
		return healthy(server, time.Duration(i+1)*ms, shop)
	})
}

var (
	unreadFacts = event.ResetFacts{Socket: true, Dead: true, Unread: 100, Shutdown: 3}
	lingerFacts = event.ResetFacts{Socket: true, Dead: true, Linger0: true, Shutdown: 3}
)

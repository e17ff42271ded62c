package diagnose_test

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

var closingStuckCases = []ruleCase{{
	name:   "crossed FINs, and no answer",
	events: unanswered(3, tcp.Closing, tcp.FinWait1), until: 10 * s,
	want: []string{"warning 3 shop"},
	says: []string{"3 connections in CLOSING"},
}, {
	name: "crossed FINs, answered",
	events: each(3, func(_ int, client, _ story.Socket) []event.Event {
		return crossed(client, 1*s)
	}),
	until: 30 * s,
}}

// crossed is a connection that both ends close at once.
func crossed(client story.Socket, at time.Duration) []event.Event {
	return story.Join(
		client.Connect(at, 300*us, shop),
		story.By(shop, client.State(at+1*s, tcp.Established, tcp.FinWait1)),
		client.State(at+1*s+1*ms, tcp.FinWait1, tcp.Closing),
		client.TimeWait(at+1*s+2*ms, tcp.Closing),
	)
}

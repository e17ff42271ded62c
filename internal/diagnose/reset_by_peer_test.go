package diagnose_test

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

func peerResets(n int) []event.Event {
	return each(n, func(i int, client, _ story.Socket) []event.Event {
		at := time.Duration(i+1) * 10 * ms
		return story.Join(
			client.Connect(at, 300*us, curl),
			client.ResetReceived(at+1*s, tcp.Established),
			story.Failed(event.ECONNRESET, client.State(at+1*s+1*us, tcp.Established, tcp.Close)),
		)
	})
}

var resetByPeerCases = []ruleCase{{
	name:   "a server that resets all",
	events: peerResets(23), until: 5 * s,
	want: []string{"warning 23 curl"},
	says: []string{"23 connections reset by the peer, in ESTABLISHED=23"},
}, {
	name:   "one",
	events: peerResets(1), until: 5 * s,
	want: []string{"info 1 curl"},
}, {
	name:   "a refused SYN is another thing",
	events: refusals(23), until: 5 * s,
}}

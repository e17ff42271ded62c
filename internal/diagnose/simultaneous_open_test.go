package diagnose_test

import (
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

var simultaneousOpenCases = []ruleCase{{
	name: "crossed SYNs",
	events: each(3, func(_ int, client, _ story.Socket) []event.Event {
		return story.Join(
			client.Connect(1*s, 0, shop)[:2],
			client.State(1*s+1*ms, tcp.SynSent, tcp.SynRecv),
			client.State(1*s+2*ms, tcp.SynRecv, tcp.Established),
		)
	}),
	until: 9 * s,
	want:  []string{"info 3 shop"},
}, {
	name:   "a client and a server",
	events: lives(11, 1*ms, serverAt), until: 9 * s,
}}

package diagnose_test

import (
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
)

var simultaneousCloseCases = []ruleCase{{
	name: "crossed FINs",
	events: each(3, func(_ int, client, _ story.Socket) []event.Event {
		return crossed(client, 1*s)
	}),
	until: 9 * s,
	want:  []string{"info 3 shop"},
}, {
	name:   "one closes first",
	events: lives(11, 1*ms, serverAt), until: 9 * s,
}}

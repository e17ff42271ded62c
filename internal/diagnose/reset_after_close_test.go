package diagnose_test

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// late is data that meets an orphan in FIN_WAIT2.
func late(client story.Socket, at time.Duration) []event.Event {
	sent := client.ResetSent(at+3*s, tcp.FinWait2, "TCP_TIMEWAIT_SOCKET")
	sent.Reset = event.ResetFacts{TimeWait: true, Answer: true, AnsweredBytes: 100, AnsweredFlags: 24}
	end := client.TimeWaitEnd(at+3*s, event.CauseReset)
	end.Old = tcp.FinWait2
	return story.Join(half(client, at, true), sent, end)
}

var resetAfterCloseCases = []ruleCase{{
	name: "a server that closes while its clients send",
	events: each(23, func(i int, client, _ story.Socket) []event.Event {
		return late(client, time.Duration(i+1)*10*ms)
	}),
	until: 9 * s,
	want:  []string{"warning 23 shop"},
	says:  []string{"23 connections got data after our process had closed"},
}, {
	name: "a FIN that comes late, and nothing more",
	events: each(23, func(i int, client, _ story.Socket) []event.Event {
		life := late(client, time.Duration(i+1)*10*ms)
		life[len(life)-2].Reset.AnsweredBytes, life[len(life)-2].Reset.AnsweredFlags = 0, 17
		return life
	}),
	until: 9 * s,
}, {
	name:   "unread data is another thing",
	events: resets(23, "TCP_ABORT_ON_CLOSE", unreadFacts), until: 5 * s,
}}

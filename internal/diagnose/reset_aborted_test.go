package diagnose_test

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// killed is a connection that another process has the kernel destroy.
func killed(server story.Socket, at time.Duration) []event.Event {
	killer := story.Task(9001, "ss")
	sent := story.By(killer, story.Failed(event.ECONNABORTED, server.ResetSent(at+1*s, tcp.Established, "TCP_STATE")))
	sent.Reset = event.ResetFacts{Socket: true}
	return story.Join(
		served(server, at, shop), sent,
		story.By(killer, story.Failed(event.ECONNABORTED, server.State(at+1*s+1*us, tcp.Established, tcp.Close))),
	)
}

var resetAbortedCases = []ruleCase{{
	name: "ss -K",
	events: each(3, func(_ int, _, server story.Socket) []event.Event {
		return killed(server, 1*s)
	}),
	until: 9 * s,
	want:  []string{"warning 3 shop"},
	says:  []string{"3 connections killed from outside"},
}, {
	name:   "the process's own RST is another thing",
	events: resets(23, "TCP_STATE", lingerFacts), until: 5 * s,
}}

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
	name:    "more orphans than tcp_max_orphans",
	events:  resets(23, "TCP_ABORT_ON_MEMORY", event.ResetFacts{Socket: true, Dead: true, Shutdown: 3}),
	until:   5 * s,
	sysctls: sysctls{"net.ipv4.tcp_max_orphans": "8192"},
	want:    []string{"warning 23 shop"},
	says:    []string{"23 connections reset by the kernel at the host's limit, tcp_max_orphans"},
}, {
	name: "more memory than tcp_mem, and ss -K",
	events: story.Join(
		resets(2, "TCP_ABORT_ON_MEMORY", event.ResetFacts{Socket: true, Dead: true, Shutdown: 3, Queued: true, MemoryFull: true}),
		each(1, func(_ int, _, server story.Socket) []event.Event {
			server.ID.Cookie += 0x10000
			return killed(server, 1*s)
		})),
	until:   5 * s,
	sysctls: sysctls{"net.ipv4.tcp_mem": "45000\t60000\t90000"},
	want:    []string{"warning 2 shop", "warning 1 shop"},
	says:    []string{"2 connections reset by the kernel at the host's limit, tcp_mem"},
}, {
	name:   "the process's own RST is another thing",
	events: resets(23, "TCP_STATE", lingerFacts), until: 5 * s,
}}

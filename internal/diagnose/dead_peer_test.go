package diagnose_test

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// dying is a connection whose peer is gone: n timeouts, and then the end.
func dying(client story.Socket, at time.Duration, timeouts int, over bool) []event.Event {
	life := client.Connect(at, 300*us, shop)
	wait, now := 200*ms, at+1*s
	for i := range timeouts {
		now += wait
		wait *= 2
		life = append(life, client.Retransmit(now, tcp.Established, event.Retransmission{CAState: 4, Retransmits: uint8(i + 1), Head: true}))
	}
	if over {
		life = append(life, story.Failed(event.ETIMEDOUT, client.State(now+wait, tcp.Established, tcp.Close)))
	}
	return life
}

var deadPeerCases = []ruleCase{{
	name: "the server is gone",
	events: each(3, func(_ int, client, _ story.Socket) []event.Event {
		return dying(client, 1*s, 6, true)
	}),
	until:   60 * s,
	sysctls: sysctls{"net.ipv4.tcp_retries2": "6", "net.ipv4.tcp_keepalive_time": "7200"},
	want:    []string{"warning 3 shop"},
	says:    []string{"3 connections to 10.9.8.7:443", "3 given up (ETIMEDOUT), 0 still trying"},
}, {
	name: "still trying",
	events: each(3, func(_ int, client, _ story.Socket) []event.Event {
		return dying(client, 1*s, 6, false)
	}),
	until: 60 * s,
	want:  []string{"warning 3 shop"},
	says:  []string{"0 given up (ETIMEDOUT), 3 still trying"},
}, {
	name: "keepalive finds a client gone",
	events: each(1, func(_ int, _, server story.Socket) []event.Event {
		return story.Join(served(server, 1*s, nginx), story.Failed(event.ETIMEDOUT, server.State(40*s, tcp.Established, tcp.Close)))
	}),
	until: 60 * s,
	want:  []string{"info 1 nginx"},
	says:  []string{"keepalive probes were not answered"},
}, {
	name: "a second without a network",
	events: each(3, func(_ int, client, _ story.Socket) []event.Event {
		return dying(client, 1*s, 2, false)
	}),
	until: 60 * s,
}, {
	name: "a SYN without an answer is another thing",
	events: silences(3, func(client story.Socket) []event.Event {
		return []event.Event{story.Failed(event.ETIMEDOUT, client.State(8*s, tcp.SynSent, tcp.Close))}
	}),
	until: 60 * s,
}}

package diagnose_test

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// silent is a connect() whose SYN and its copies have no answer.
func silent(client story.Socket, at time.Duration, by event.Task) []event.Event {
	return story.Join(
		client.Connect(at, 0, by)[:2],
		client.Retransmit(at+1*s, tcp.SynSent, event.Retransmission{Flags: 2, CAState: 4}),
		client.Retransmit(at+3*s, tcp.SynSent, event.Retransmission{Flags: 2, CAState: 4}),
	)
}

func silences(n int, then func(client story.Socket) []event.Event) []event.Event {
	return each(n, func(_ int, client, _ story.Socket) []event.Event {
		life := silent(client, 1*s, curl)
		if then != nil {
			life = append(life, then(client)...)
		}
		return life
	})
}

var connectTimeoutCases = []ruleCase{{
	name:   "no answer yet",
	events: silences(23, nil), until: 6 * s,
	sysctls: sysctls{"net.ipv4.tcp_syn_retries": "6"},
	want:    []string{"warning 23 curl"},
	says:    []string{"23 calls of connect() to 10.9.8.7:443", "23 waiting"},
}, {
	name: "the kernel gives up",
	events: silences(23, func(client story.Socket) []event.Event {
		return []event.Event{story.Failed(event.ETIMEDOUT, client.State(8*s, tcp.SynSent, tcp.Close))}
	}),
	until: 10 * s,
	want:  []string{"warning 23 curl"},
	says:  []string{"23 failed, 0 answered late, 0 waiting"},
}, {
	name: "the process gives up after 2 s",
	events: each(5, func(_ int, client, _ story.Socket) []event.Event {
		return story.Join(client.Connect(1*s, 0, curl)[:2], story.By(curl, client.State(3*s, tcp.SynSent, tcp.Close)))
	}),
	until: 10 * s,
	want:  []string{"warning 5 curl"},
	says:  []string{"5 failed"},
}, {
	name: "an answer after 4 s",
	events: silences(1, func(client story.Socket) []event.Event {
		return []event.Event{client.State(5*s, tcp.SynSent, tcp.Established)}
	}),
	until: 10 * s,
	want:  []string{"info 1 curl"},
	says:  []string{"1 answered late"},
}, {
	name: "a firewall of this host drops the SYNs",
	events: each(5, func(_ int, client, _ story.Socket) []event.Event {
		return story.Join(silent(client, 1*s, curl)[:2], dropsOut(client, 1*s, "NETFILTER_DROP", aSYN), silent(client, 1*s, curl)[2],
			dropsOut(client, 2*s, "NETFILTER_DROP", aSYN), silent(client, 1*s, curl)[3], dropsOut(client, 4*s, "NETFILTER_DROP", aSYN))
	}),
	until: 6 * s,
	want:  []string{"warning 5 curl"},
	says:  []string{"15 SYNs dropped on this host (NETFILTER_DROP): a firewall of this host drops them"},
}, {
	name: "a firewall of this host drops a SYN in passing",
	events: silences(5, func(client story.Socket) []event.Event {
		return []event.Event{dropsOut(client, 4*s, "NETFILTER_DROP", aSYN)}
	}),
	until: 6 * s,
	want:  []string{"warning 5 curl"},
	says:  []string{"or the host is down; 5 SYNs dropped on this host (NETFILTER_DROP)"},
}, {
	name: "the slower of two addresses is dropped",
	events: each(23, func(_ int, client, _ story.Socket) []event.Event {
		return story.Join(client.Connect(1*s, 0, curl)[:2], story.By(curl, client.State(1300*ms, tcp.SynSent, tcp.Close)))
	}),
	until: 10 * s,
}}

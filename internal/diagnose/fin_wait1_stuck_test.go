package diagnose_test

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// unanswered are connections whose FIN, sent in state, has no answer.
func unanswered(n int, state tcp.State, before ...tcp.State) []event.Event {
	return each(n, func(_ int, client, _ story.Socket) []event.Event {
		life := client.Connect(1*s, 300*us, shop)
		at := 2 * s
		path := append(append([]tcp.State{tcp.Established}, before...), state)
		for i := 1; i < len(path); i++ {
			life = append(life, story.By(shop, client.State(at, path[i-1], path[i])))
			at += 1 * ms
		}
		for i, wait := range []time.Duration{200 * ms, 600 * ms, 1400 * ms, 3000 * ms} {
			life = append(life, client.Retransmit(at+wait, state, event.Retransmission{Flags: 17, CAState: 4, Retransmits: uint8(i + 1)}))
		}
		return life
	})
}

func givenUp(n int, life []event.Event, state tcp.State) []event.Event {
	return append(life, each(n, func(_ int, client, _ story.Socket) []event.Event {
		return []event.Event{story.Failed(event.ETIMEDOUT, client.State(6*s, state, tcp.Close))}
	})...)
}

var finWait1StuckCases = []ruleCase{{
	name:   "no answer to the FIN",
	events: unanswered(7, tcp.FinWait1), until: 10 * s,
	want: []string{"warning 7 shop"},
	says: []string{"7 connections in FIN_WAIT1", "28 segments sent again"},
}, {
	name:   "given up",
	events: givenUp(7, unanswered(7, tcp.FinWait1), tcp.FinWait1), until: 10 * s,
	want: []string{"warning 7 shop"},
	says: []string{"7 given up, 0 there now"},
}, {
	name:   "one peer that vanished",
	events: unanswered(1, tcp.FinWait1), until: 10 * s,
	want: []string{"info 1 shop"},
}, {
	name: "a firewall of this host drops what comes back",
	events: story.Join(unanswered(7, tcp.FinWait1), each(7, func(_ int, client, _ story.Socket) []event.Event {
		return story.Join(dropsIn(client, 5*s, "NETFILTER_DROP", anACK), dropsIn(client, 5*s+1*ms, "NETFILTER_DROP", anACK), dropsIn(client, 6*s, "NETFILTER_DROP", anACK))
	})),
	until: 10 * s,
	want:  []string{"warning 7 shop"},
	says:  []string{"21 answers dropped on this host (NETFILTER_DROP): a firewall of this host drops them"},
}, {
	name: "a closed window",
	events: each(3, func(_ int, client, _ story.Socket) []event.Event {
		return story.Join(client.Connect(1*s, 300*us, shop), story.By(shop, client.State(2*s, tcp.Established, tcp.FinWait1)))
	}),
	until: 10 * s,
	want:  []string{"warning 3 shop"},
	says:  []string{"the peer's window is closed"},
}, {
	name: "an answer after 3 s of loss",
	events: story.Join(unanswered(7, tcp.FinWait1), each(7, func(_ int, client, _ story.Socket) []event.Event {
		return []event.Event{client.State(6*s, tcp.FinWait1, tcp.FinWait2)}
	})),
	until: 8 * s,
}}

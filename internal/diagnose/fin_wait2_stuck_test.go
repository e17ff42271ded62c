package diagnose_test

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// half is a client that shut down its sending side, or closed, and whose FIN
// was acknowledged.
func half(client story.Socket, at time.Duration, orphan bool) []event.Event {
	life := story.Join(
		client.Connect(at, 300*us, shop),
		story.By(shop, client.State(at+1*s, tcp.Established, tcp.FinWait1)),
		client.State(at+1*s+1*ms, tcp.FinWait1, tcp.FinWait2),
	)
	if orphan {
		begin := client.TimeWait(at+1*s+1*ms, tcp.FinWait2)
		begin[0].New = tcp.FinWait2
		life = append(life, begin...)
	}
	return life
}

func halves(n int, orphan bool) []event.Event {
	return each(n, func(i int, client, _ story.Socket) []event.Event {
		return half(client, time.Duration(i+1)*10*ms, orphan)
	})
}

// expiring are orphans that tcp_fin_timeout, 3 s, ends.
func expiring(n int) []event.Event {
	return each(n, func(i int, client, _ story.Socket) []event.Event {
		at := time.Duration(i+1) * 10 * ms
		end := client.TimeWaitEnd(at+4*s, event.CauseExpired)
		end.Old = tcp.FinWait2
		return append(half(client, at, true), end)
	})
}

var finWait2StuckCases = []ruleCase{{
	name:   "half-closes",
	events: halves(23, false), until: 15 * s,
	want: []string{"warning 23 shop"},
	says: []string{"23 connections half-closed", "23 now"},
}, {
	name:   "orphans that tcp_fin_timeout ends",
	events: expiring(23), until: 6 * s,
	sysctls: sysctls{"net.ipv4.tcp_fin_timeout": "3"},
	want:    []string{"warning 23 shop"},
	says:    []string{"orphans in FIN_WAIT2, 23 ended by tcp_fin_timeout"},
}, {
	name: "half-closes of which the process closes three, which tcp_fin_timeout ends",
	events: each(23, func(i int, client, _ story.Socket) []event.Event {
		life := half(client, 1*s, false)
		if i >= 3 {
			return life
		}
		begin := client.TimeWait(20*s, tcp.FinWait2)
		begin[0].New = tcp.FinWait2
		end := client.TimeWaitEnd(23*s, event.CauseExpired)
		end.Old = tcp.FinWait2
		return story.Join(life, begin, end)
	}),
	until: 25 * s,
	want:  []string{"warning 23 shop", "info 3 shop"},
	says:  []string{"23 connections half-closed", "20 now"},
}, {
	name:   "a few orphans",
	events: expiring(3), until: 6 * s,
	want: []string{"info 3 shop"},
}, {
	name: "the peer closes after 5 s",
	events: each(23, func(_ int, client, _ story.Socket) []event.Event {
		return story.Join(half(client, 1*s, false), client.TimeWait(7*s, tcp.FinWait2))
	}),
	until: 30 * s,
}}

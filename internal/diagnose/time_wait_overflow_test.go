package diagnose_test

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

var timeWaitOverflowCases = []ruleCase{{
	name: "12 of 23 find no room",
	events: each(23, func(i int, client, _ story.Socket) []event.Event {
		at := time.Duration(i+1) * 10 * ms
		life := story.Join(
			client.Connect(at, 300*us, shop),
			story.By(shop, client.State(at+1*ms, tcp.Established, tcp.FinWait1)),
			client.State(at+2*ms, tcp.FinWait1, tcp.FinWait2),
		)
		if i < 11 {
			return append(life, client.TimeWait(at+3*ms, tcp.FinWait2)...)
		}
		return append(life, client.State(at+3*ms, tcp.FinWait2, tcp.Close))
	}),
	until:   5 * s,
	sysctls: sysctls{"net.ipv4.tcp_max_tw_buckets": "11"},
	want:    []string{"warning 12 shop"},
	says:    []string{"12 connections closed without TIME_WAIT"},
}, {
	name:   "room enough",
	events: lives(101, 1*ms, serverAt), until: 30 * s,
}}

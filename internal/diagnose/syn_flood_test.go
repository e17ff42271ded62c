package diagnose_test

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// halfOpen are handshakes of which the last ACK does not come; gaveUp is when
// the kernel gives up, or 0.
func halfOpen(n int, gaveUp time.Duration) []event.Event {
	return story.Join(listening(nginx), each(n, func(i int, _, server story.Socket) []event.Event {
		request := server.Accept(1*s+time.Duration(i)*ms, 1*ms)[0]
		if gaveUp == 0 {
			return []event.Event{request}
		}
		end := server.TimeWaitEnd(gaveUp+time.Duration(i)*ms, event.CauseTimeout)
		end.Kind, end.Old = event.RequestEnd, tcp.SynRecv
		return []event.Event{request, end}
	}))
}

var synFloodCases = []ruleCase{{
	name:   "a flood",
	events: halfOpen(1009, 0), until: 6 * s,
	want: []string{"critical 1009 nginx"},
	says: []string{"1,009 handshakes at 10.9.8.7:443", "from 256 sources"},
}, {
	name:   "clients that vanish",
	events: halfOpen(23, 4*s), until: 6 * s,
	sysctls: sysctls{"net.ipv4.tcp_synack_retries": "1"},
	want:    []string{"warning 23 nginx"},
}, {
	name:   "somebody looks whether the port is open",
	events: halfOpen(2, 64*s), until: 70 * s,
	want: []string{"info 2 nginx"},
}, {
	name: "a firewall of this host drops the SYN-ACKs",
	events: story.Join(halfOpen(23, 0), each(23, func(_ int, _, server story.Socket) []event.Event {
		return []event.Event{dropsOut(server, 2*s, "NETFILTER_DROP", event.Packet{Flags: 18})}
	})),
	until: 6 * s,
	want:  []string{"warning 23 nginx"},
	says:  []string{"23 SYN-ACKs dropped on this host (NETFILTER_DROP): a firewall of this host drops them"},
}, {
	name:   "a full SYN queue",
	events: fulls(3, true), until: 5 * s,
	want: []string{"warning 3 nginx"},
	says: []string{"the SYN queue was full 3 times"},
}, {
	name: "slow handshakes",
	events: each(101, func(_ int, _, server story.Socket) []event.Event {
		return server.Accept(1*s, 200*ms)
	}),
	until: 30 * s,
}}

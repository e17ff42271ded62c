package diagnose_test

import (
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// unsent is a connect() that finds no port.
func unsent(client story.Socket, at time.Duration, by event.Task) []event.Event {
	client.Local = netip.AddrPortFrom(client.Local.Addr(), 0)
	return story.Join(
		story.By(by, client.State(at, tcp.Close, tcp.SynSent)),
		story.By(by, client.State(at+10*us, tcp.SynSent, tcp.Close)),
		failed(client, at+11*us, event.OpConnect, 99, by),
	)
}

// failed is a system call that failed.
func failed(socket story.Socket, at time.Duration, op event.Op, errno event.Errno, by event.Task) event.Event {
	ev := story.By(by, socket.Seen(at, tcp.Close))
	ev.Kind, ev.Op, ev.Err, ev.Count = event.Failed, op, errno, 1
	return ev
}

var ephemeralPortExhaustionCases = []ruleCase{{
	name: "no port is left",
	events: story.Join(lives(101, 1*ms, serverAt), each(7, func(i int, client, _ story.Socket) []event.Event {
		client.ID.Cookie += 0x1000
		return unsent(client, 2*s+time.Duration(i)*ms, shop)
	})),
	until:   3 * s,
	sysctls: sysctls{"net.ipv4.ip_local_port_range": "32768 32868"},
	want:    []string{"critical 7 shop"},
	says:    []string{"7 calls of connect() to 10.9.8.7:443", "all 101 ports", "TIME_WAIT=101"},
}, {
	name:   "ports enough",
	events: lives(2003, 1*ms, serverAt), until: 30 * s,
}}

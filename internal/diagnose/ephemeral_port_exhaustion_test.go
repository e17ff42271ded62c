package diagnose_test

import (
	"net/netip"
	"slices"
	"strconv"
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

// pool is n connections that stay open.
func pool(n int) []event.Event {
	var all []event.Event
	for i := range n {
		client := story.NewSocket(uint64(0xe0000+i), "10.0.0.1:"+strconv.Itoa(40000+i), serverAt)
		all = append(all, client.Connect(1*s+time.Duration(i)*ms, 300*us, shop)...)
	}
	slices.SortStableFunc(all, func(a, b event.Event) int { return int(a.Time - b.Time) })
	return all
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
	name:    "a pool holds nearly all ports",
	events:  pool(95),
	until:   3 * s,
	sysctls: sysctls{"net.ipv4.ip_local_port_range": "40000 40099"},
	want:    []string{"warning 95 shop"},
	says:    []string{"95 of the 100 local ports in use towards 10.9.8.7:443: connect() is about to fail", "ESTABLISHED=95"},
}, {
	name:    "a pool holds four fifths",
	events:  pool(80),
	until:   3 * s,
	sysctls: sysctls{"net.ipv4.ip_local_port_range": "40000 40099"},
}, {
	name:   "ports enough",
	events: lives(2003, 1*ms, serverAt), until: 30 * s,
}}

package diagnose_test

import (
	"slices"
	"strconv"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// lives are n connections of a client that closes first, one each gap, all to
// one server from ports of their own.
func lives(n int, gap time.Duration, to string) []event.Event {
	var all []event.Event
	for i := range n {
		at := 1*s + time.Duration(i)*gap
		client := story.NewSocket(uint64(0xd0000+i), "10.0.0.1:"+strconv.Itoa(32768+i%28232), to)
		all = append(all, story.Join(
			client.Connect(at, 300*us, shop),
			story.By(shop, client.State(at+400*us, tcp.Established, tcp.FinWait1)),
			client.State(at+500*us, tcp.FinWait1, tcp.FinWait2),
			client.TimeWait(at+600*us, tcp.FinWait2),
		)...)
	}
	slices.SortStableFunc(all, func(a, b event.Event) int { return int(a.Time - b.Time) })
	return all
}

var narrow = sysctls{"net.ipv4.ip_local_port_range": "32768\t33767", "net.ipv4.tcp_tw_reuse": "2"}

var timeWaitPressureCases = []ruleCase{{
	name:   "half of a small range in use",
	events: lives(601, 10*ms, serverAt), until: 8 * s,
	sysctls: narrow,
	want:    []string{"warning 601 shop"},
	says:    []string{"601 ports in TIME_WAIT towards 10.9.8.7:443", "601 of the 1,000", "no port is left in"},
}, {
	name:   "nearly all of it",
	events: lives(907, 5*ms, serverAt), until: 8 * s,
	sysctls: narrow,
	want:    []string{"critical 907 shop"},
}, {
	name:   "a tenth of the usual range",
	events: lives(2903, 1*ms, serverAt), until: 5 * s,
	want: []string{"info 2903 shop"},
}, {
	name:   "tcp_tw_reuse takes the ports again",
	events: lives(907, 5*ms, serverAt), until: 8 * s,
	sysctls: sysctls{"net.ipv4.ip_local_port_range": "32768\t33767", "net.ipv4.tcp_tw_reuse": "1"},
	want:    []string{"info 907 shop"},
	says:    []string{"tcp_tw_reuse lets connect() take these ports again"},
}, {
	name:   "ports that the process binds itself",
	events: lives(907, 5*ms, serverAt), until: 8 * s,
	sysctls: sysctls{"net.ipv4.ip_local_port_range": "60999 60999"},
}, {
	name:   "2,003 connections",
	events: lives(2003, 1*ms, serverAt), until: 30 * s,
}}

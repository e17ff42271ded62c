package diagnose_test

import (
	"strconv"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// full is a packet that met a full queue of the listener.
func full(at time.Duration, syn bool, from string) event.Event {
	ev := story.NewSocket(0x11, serverAt, from).Seen(at, tcp.Listen)
	ev.Kind, ev.Count = event.QueueFull, 1
	ev.Queue = event.Queue{SYN: syn, Length: 8, Limit: 7}
	return ev
}

func fulls(n int, syn bool) []event.Event {
	all := []event.Event{listening(nginx)}
	for i := range n {
		all = append(all, full(2*s+time.Duration(i)*10*ms, syn, "10.0.0.1:"+strconv.Itoa(40000+i)))
	}
	return all
}

var acceptQueueOverflowCases = []ruleCase{{
	name:   "a process that does not accept",
	events: fulls(17, false), until: 5 * s,
	sysctls: sysctls{"net.core.somaxconn": "4096", "net.ipv4.tcp_abort_on_overflow": "0"},
	want:    []string{"warning 17 nginx"},
	says:    []string{"17 packets met a full accept queue at 10.9.8.7:443", "8 wait, and the backlog is 7"},
}, {
	name:   "many clients",
	events: fulls(127, false), until: 5 * s,
	want: []string{"critical 127 nginx"},
}, {
	name: "resets by tcp_abort_on_overflow",
	events: story.Join(listening(nginx), each(5, func(_ int, _, server story.Socket) []event.Event {
		request := server.Accept(1*s, 1*ms)[0]
		end := server.TimeWaitEnd(2*s, event.CauseOverflow)
		end.Kind, end.Old = event.RequestEnd, tcp.SynRecv
		return []event.Event{request, end}
	})),
	until: 5 * s,
	want:  []string{"warning 5 nginx"},
}, {
	name:   "a full SYN queue is another thing",
	events: fulls(17, true), until: 5 * s,
}}

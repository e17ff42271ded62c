package diagnose_test

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

func refused(client story.Socket, at time.Duration, by event.Task) []event.Event {
	return story.Join(
		client.Connect(at, 0, by)[:2],
		client.ResetReceived(at+40*us, tcp.SynSent),
		story.Failed(event.ECONNREFUSED, client.State(at+41*us, tcp.SynSent, tcp.Close)),
	)
}

func refusals(n int) []event.Event {
	return each(n, func(i int, client, _ story.Socket) []event.Event {
		return refused(client, time.Duration(i+1)*10*ms, curl)
	})
}

var connectRefusedCases = []ruleCase{{
	name:   "a service that is down",
	events: refusals(23), until: 5 * s,
	want: []string{"warning 23 curl"},
	says: []string{"23 calls of connect() to 10.9.8.7:443 refused; 0 succeeded"},
}, {
	name:   "one address of two",
	events: refusals(1), until: 5 * s,
	want: []string{"info 1 curl"},
}, {
	name:   "5 of 105",
	events: story.Join(refusals(5), lives(100, 1*ms, serverAt)),
	until:  5 * s,
	want:   []string{"info 5 curl"},
	says:   []string{"100 succeeded"},
}, {
	name:   "all succeed",
	events: lives(101, 1*ms, serverAt), until: 5 * s,
}}

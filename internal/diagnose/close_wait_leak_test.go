package diagnose_test

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

func leaking(n int) []event.Event {
	return each(n, func(i int, _, server story.Socket) []event.Event {
		at := time.Duration(i+1) * 10 * ms
		return story.Join(served(server, at, shop), server.State(at+1*s, tcp.Established, tcp.CloseWait))
	})
}

func pooled(n int) []event.Event {
	return each(n, func(_ int, client, _ story.Socket) []event.Event {
		return story.Join(client.Connect(1*s, 300*us, shop), client.State(2*s, tcp.Established, tcp.CloseWait))
	})
}

var closeWaitLeakCases = []ruleCase{{
	name:   "a handler that never closes",
	events: leaking(23), until: 10 * s,
	want: []string{"warning 23 shop"},
	says: []string{"23 connections in CLOSE_WAIT", "23 now"},
}, {
	name:   "one connection in a pool",
	events: leaking(1), until: 30 * s,
	want: []string{"info 1 shop"},
}, {
	name:   "a client's pool",
	events: pooled(7), until: 30 * s,
	want: []string{"info 7 shop"},
}, {
	name:   "a client's pool that nobody looks at",
	events: pooled(13), until: 30 * s,
	want: []string{"warning 13 shop"},
}, {
	name:   "one for long",
	events: leaking(1), until: 2 * time.Minute,
	want: []string{"warning 1 shop"},
}, {
	name:   "as many as there are descriptors",
	events: leaking(1009), until: 30 * s,
	want: []string{"critical 1009 shop"},
}, {
	name: "nobody has accepted them: it is the listener's",
	events: story.Join(listening(nginx), each(3, func(_ int, _, server story.Socket) []event.Event {
		return story.Join(server.Accept(1*s, 1*ms), server.State(2*s, tcp.Established, tcp.CloseWait))
	})),
	until: 10 * s,
	want:  []string{"warning 3 nginx"},
}, {
	name: "the peer vanishes while the server still sends",
	events: each(3, func(_ int, _, server story.Socket) []event.Event {
		return story.Join(served(server, 1*s, shop), server.State(2*s, tcp.Established, tcp.CloseWait),
			story.Failed(event.ETIMEDOUT, server.State(4*s, tcp.CloseWait, tcp.Close)))
	}),
	until: 30 * s,
}, {
	name: "a server that closes at once",
	events: each(101, func(i int, _, server story.Socket) []event.Event {
		return healthy(server, time.Duration(i+1)*10*ms, shop)
	}),
	until: 30 * s,
}}

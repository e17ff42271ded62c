package diagnose_test

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// dying is a connection whose peer is gone: n timeouts, and then the end.
func dying(client story.Socket, at time.Duration, timeouts int, over bool) []event.Event {
	life := client.Connect(at, 300*us, shop)
	wait, now := 200*ms, at+1*s
	for i := range timeouts {
		now += wait
		wait *= 2
		life = append(life, client.Retransmit(now, tcp.Established, event.Retransmission{CAState: 4, Retransmits: uint8(i + 1), Head: true}))
	}
	if over {
		life = append(life, story.Failed(event.ETIMEDOUT, client.State(now+wait, tcp.Established, tcp.Close)))
	}
	return life
}

// both are the two ends of a connection, on one host.
func both(client, server story.Socket) []event.Event {
	return story.Join(client.Connect(1*s, 300*us, shop), served(server, 1*s, nginx))
}

// congestion is a step of the congestion state.
func congestion(of story.Socket, at time.Duration, from, to uint8) event.Event {
	return event.Event{
		Kind: event.Congestion, Time: event.Time(at), ID: of.ID, Local: of.Local, Remote: of.Remote, Old: tcp.Established,
		Retransmission: event.Retransmission{OldCAState: from, CAState: to},
	}
}

var deadPeerCases = []ruleCase{{
	name: "the server is gone",
	events: each(3, func(_ int, client, _ story.Socket) []event.Event {
		return dying(client, 1*s, 6, true)
	}),
	until:   60 * s,
	sysctls: sysctls{"net.ipv4.tcp_retries2": "6", "net.ipv4.tcp_keepalive_time": "7200"},
	want:    []string{"warning 3 shop"},
	says:    []string{"3 connections to 10.9.8.7:443", "3 given up (ETIMEDOUT), 0 still trying"},
}, {
	name: "still trying",
	events: each(3, func(_ int, client, _ story.Socket) []event.Event {
		return dying(client, 1*s, 6, false)
	}),
	until: 60 * s,
	want:  []string{"warning 3 shop"},
	says:  []string{"0 given up (ETIMEDOUT), 3 still trying"},
}, {
	name: "keepalive finds a client gone",
	events: each(1, func(_ int, _, server story.Socket) []event.Event {
		return story.Join(served(server, 1*s, nginx), story.Failed(event.ETIMEDOUT, server.State(40*s, tcp.Established, tcp.Close)))
	}),
	until: 60 * s,
	want:  []string{"info 1 nginx"},
	says:  []string{"keepalive probes were not answered"},
}, {
	name: "a firewall of this host forgot the connections",
	events: each(3, func(_ int, client, _ story.Socket) []event.Event {
		life := dying(client, 1*s, 6, false)
		for _, ev := range life[3:] {
			life = append(life, dropsOut(client, time.Duration(ev.Time), "NETFILTER_DROP", data))
		}
		return life
	}),
	until: 60 * s,
	want:  []string{"warning 3 shop"},
	says:  []string{"18 segments dropped on this host (NETFILTER_DROP)"},
}, {
	name: "answered after 12 s",
	events: each(3, func(_ int, client, _ story.Socket) []event.Event {
		return story.Join(dying(client, 1*s, 6, false), congestion(client, 20*s, 4, 0))
	}),
	until: 60 * s,
	want:  []string{"info 3 shop"},
	says:  []string{"0 still trying, 3 answered after all"},
}, {
	name: "five timeouts of 4 ms",
	events: each(3, func(_ int, client, _ story.Socket) []event.Event {
		life := client.Connect(1*s, 300*us, shop)
		for i := range 9 {
			life = append(life, client.Retransmit(2*s+time.Duration(i)*4*ms, tcp.Established, event.Retransmission{CAState: 4, Retransmits: uint8(i + 1), Head: true}))
		}
		return life
	}),
	until: 60 * s,
}, {
	name: "the other end, on this host, is over and did not say so",
	events: each(3, func(_ int, client, server story.Socket) []event.Event {
		return story.Join(both(client, server), story.By(nginx, server.State(2*s, tcp.Established, tcp.Close)))
	}),
	until: 60 * s,
	want:  []string{"info 3 shop"},
	says:  []string{"0 still trying, 3 idle", "the other end, on this host, is over"},
}, {
	name: "events may have been lost",
	events: story.Join(each(3, func(_ int, client, server story.Socket) []event.Event {
		return story.Join(both(client, server), story.By(nginx, server.State(2*s, tcp.Established, tcp.Close)))
	}), story.Lost(1*s, 3*s, event.State, 1)),
	until: 60 * s,
}, {
	name: "the other end has moved to another process",
	events: each(3, func(i int, client, server story.Socket) []event.Event {
		restored := story.NewSocket(uint64(0x90000+i), server.Local.String(), server.Remote.String())
		return story.Join(both(client, server), story.By(nginx, server.State(2*s, tcp.Established, tcp.Close)), restored.Seen(5*s, tcp.Established))
	}),
	until: 60 * s,
}, {
	name: "both ends idle",
	events: each(3, func(_ int, client, server story.Socket) []event.Event {
		return both(client, server)
	}),
	until: 3600 * s,
}, {
	name: "a second without a network",
	events: each(3, func(_ int, client, _ story.Socket) []event.Event {
		return dying(client, 1*s, 2, false)
	}),
	until: 60 * s,
}, {
	name: "idle for two hours without keepalive",
	events: each(3, func(_ int, client, _ story.Socket) []event.Event {
		return story.Join(client.Connect(1*s, 300*us, shop), client.Idling(7202*s, 7200*s))
	}),
	until: 7204 * s,
	want:  []string{"info 3 shop"},
	says:  []string{"3 connections to 10.9.8.7:443", "0 still trying, 3 idle for long, without keepalive", "keepalive is off"},
}, {
	name: "clients that idle are of one cause",
	events: each(11, func(_ int, _, server story.Socket) []event.Event {
		return story.Join(served(server, 1*s, nginx), server.Idling(8*s, 6*s))
	}),
	until:   10 * s,
	sysctls: sysctls{"net.ipv4.tcp_keepalive_time": "5"},
	want:    []string{"info 11 nginx"},
	says:    []string{"11 connections of clients without a sign of life"},
}, {
	name: "found as the trace begins, with a local port that is no client's",
	events: each(3, func(_ int, _, server story.Socket) []event.Event {
		return []event.Event{story.By(nginx, server.Idling(8*s, 7200*s))}
	}),
	until: 10 * s,
	want:  []string{"info 3 nginx"},
	says:  []string{"3 connections of clients"},
}, {
	name: "idle, and then the peer is gone",
	events: each(3, func(_ int, client, _ story.Socket) []event.Event {
		return story.Join(dying(client, 1*s, 0, false), client.Idling(8*s, 6*s), dying(client, 10*s, 6, true)[3:])
	}),
	until:   60 * s,
	sysctls: sysctls{"net.ipv4.tcp_keepalive_time": "5"},
	want:    []string{"warning 3 shop"},
	says:    []string{"3 given up (ETIMEDOUT), 0 still trying"},
}, {
	name: "heard of again, or closed",
	events: each(3, func(i int, client, _ story.Socket) []event.Event {
		life := story.Join(client.Connect(1*s, 300*us, shop), client.Idling(8*s, 6*s))
		if i == 0 {
			return story.Join(life, story.By(shop, client.State(68*s, tcp.Established, tcp.FinWait1)))
		}
		return story.Join(life, client.Idling(68*s, 3*s))
	}),
	until:   70 * s,
	sysctls: sysctls{"net.ipv4.tcp_keepalive_time": "5"},
}, {
	name: "idle for as long, with keepalive",
	events: each(3, func(_ int, client, _ story.Socket) []event.Event {
		found := client.Idling(8*s, 7300*s)
		found.KeepAlive = true
		return story.Join(client.Connect(1*s, 300*us, shop), found)
	}),
	until: 10 * s,
}, {
	name: "idle for less than two hours",
	events: each(3, func(_ int, client, _ story.Socket) []event.Event {
		return story.Join(client.Connect(1*s, 300*us, shop), client.Idling(8*s, 7199*s))
	}),
	until: 10 * s,
}, {
	name: "idle, and the other end is on this host and well",
	events: each(3, func(_ int, client, server story.Socket) []event.Event {
		return story.Join(client.Idling(8*s, 7300*s), server.Idling(8*s, 7300*s))
	}),
	until: 10 * s,
}, {
	name: "a SYN without an answer is another thing",
	events: silences(3, func(client story.Socket) []event.Event {
		return []event.Event{story.Failed(event.ETIMEDOUT, client.State(8*s, tcp.SynSent, tcp.Close))}
	}),
	until: 60 * s,
}}

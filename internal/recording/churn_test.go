package recording

import (
	"math/rand/v2"
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// churn makes the events of n connections between processes of one host, both
// ends of each, as the kernel tells them: some at once, times that are not
// even, and a TIME_WAIT of a second.
func churn(n int) []event.Event {
	random := rand.New(rand.NewPCG(3, 4))
	var all []event.Event
	var waiting []event.Event // ends of TIME_WAIT
	now := event.Time(1_000_000_000)
	const lanes = 8
	for first := 0; first < n; first += lanes {
		var lives [lanes][]event.Event
		for lane := range min(lanes, n-first) {
			lives[lane] = life(first+lane, random)
		}
		for left := true; left; {
			left = false
			for lane := range lives {
				steps := 1 + random.IntN(3)
				for ; steps > 0 && len(lives[lane]) > 0; steps-- {
					now += event.Time(2_000 + random.IntN(12_000))
					ev := lives[lane][0]
					lives[lane] = lives[lane][1:]
					for len(waiting) > 0 && waiting[0].Time <= now {
						all = append(all, waiting[0])
						waiting = waiting[1:]
					}
					ev.Time = now
					all = append(all, ev)
					if ev.Kind == event.TimeWaitBegin {
						end := ev
						end.Kind, end.Old, end.New, end.Left, end.Cause = event.TimeWaitEnd, tcp.TimeWait, 0, 0, event.CauseExpired
						end.Time = now + 1_000_000_000 + event.Time(random.IntN(3_000_000))
						waiting = append(waiting, end)
					}
				}
				left = left || len(lives[lane]) > 0
			}
		}
	}
	return append(all, waiting...)
}

// life makes the events of both ends of one connection.
func life(i int, random *rand.Rand) []event.Event {
	web, curl := task(411, "nginx"), task(uint32(5000+i%4), "curl")
	client := event.Event{
		ID:     event.ID{NetNS: 4026531840, Cookie: 0x1000 + uint64(i)*2},
		Local:  netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 0),
		Remote: netip.MustParseAddrPort("127.0.0.1:8080"),
	}
	bound := client
	bound.Local = netip.AddrPortFrom(client.Local.Addr(), uint16(32768+i*2%28000))
	server := bound
	server.ID.Cookie++
	server.Local, server.Remote = bound.Remote, bound.Local
	child := server
	child.ID.Cookie = 0
	state := func(ev event.Event, from, to tcp.State, by event.Task) event.Event {
		ev.Kind, ev.Old, ev.New, ev.Task = event.State, from, to, by
		return ev
	}
	of := func(ev event.Event, kind event.Kind) event.Event {
		ev.Kind = kind
		return ev
	}
	totals := func(ev event.Event) event.Event {
		ev.Kind = event.Totals
		ev.Counters = event.Counters{
			BytesSent: 120, BytesAcked: 121, BytesReceived: 5432, SegsOut: 6, SegsIn: 5, SRTTus: uint32(20 + random.IntN(60)),
		}
		return ev
	}
	nobody := event.Task{}
	open := state(bound, tcp.SynSent, tcp.Established, nobody)
	open.ISNs = event.ISNs{Sent: event.ISN{Seq: random.Uint32(), Known: true}, Received: event.ISN{Seq: random.Uint32(), Known: true}}
	answered := state(server, tcp.SynRecv, tcp.Established, nobody)
	answered.ISNs = event.ISNs{Sent: open.ISNs.Received, Received: open.ISNs.Sent}
	wait := of(bound, event.TimeWaitBegin)
	wait.New, wait.Left = tcp.TimeWait, 60_000_000_000
	used := of(server, event.Used)
	used.Old, used.Task = tcp.Established, web
	return []event.Event{
		state(client, tcp.Close, tcp.SynSent, curl), of(bound, event.Bound), of(server, event.RequestBegin),
		open, state(child, tcp.Listen, tcp.SynRecv, nobody),
		answered, used,
		state(bound, tcp.Established, tcp.FinWait1, curl), state(server, tcp.Established, tcp.CloseWait, nobody),
		state(bound, tcp.FinWait1, tcp.FinWait2, nobody), state(server, tcp.CloseWait, tcp.LastAck, web),
		wait, totals(bound), state(bound, tcp.FinWait2, tcp.Close, nobody),
		totals(server), state(server, tcp.LastAck, tcp.Close, nobody),
	}
}

// tasks are processes by pid: one that is the same has the same label.
var tasks = map[uint32]event.Task{}

func task(pid uint32, comm string) event.Task {
	t, ok := tasks[pid]
	if !ok {
		t = event.Task{PID: pid, Cgroup: 4242, Label: &event.Label{Unit: comm + ".service", Cgroup: "/system.slice/" + comm + ".service"}}
		copy(t.Comm[:], comm)
		tasks[pid] = t
	}
	return t
}

package story

import (
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Notices are what befalls connections without changing their state: packets
// dropped, of a connection and of none, queues that are full, and calls that fail;
// and errors that end connections, of which the process took one before.
func Notices() []event.Event {
	client := NewSocket(0x1a5cd, "10.0.0.1:40000", "10.9.8.7:443")
	silent := NewSocket(0x1a5cf, "10.0.0.1:40002", "10.9.8.7:81")
	nobody := NewSocket(0, "10.0.0.1:9", "10.9.8.7:40404")
	listener := NewSocket(0x11, "10.0.0.1:80", "")
	dropped := client.event(2*s, event.Dropped)
	dropped.Old, dropped.Reason = tcp.Established, "SOCKET_RCVBUFF"
	dropped.Packet = event.Packet{Where: "tcp_data_queue", Seq: 7, Bytes: 1448, Flags: 0x18}
	stray := nobody.event(2100*ms, event.Dropped)
	stray.Reason, stray.Packet = "NETFILTER_DROP", event.Packet{Where: "nf_hook_slow", Flags: 0x02, Outgoing: true}
	full := listener.event(3*s, event.QueueFull)
	full.Count, full.Queue = 17, event.Queue{Length: 5, Limit: 4}
	halfOpen := listener.event(3100*ms, event.QueueFull)
	halfOpen.Count, halfOpen.Queue = 1, event.Queue{SYN: true, Length: 128, Limit: 128}
	last := nobody.event(3200*ms, event.QueueFull)
	last.Count, last.Queue = 1, event.Queue{Length: 5, Limit: 4}
	accept := Failed(event.EMFILE, By(nginx, listener.event(4*s, event.Failed)))
	accept.Op, accept.Count, accept.Old = event.OpAccept, 3, tcp.Listen
	connect := Failed(event.EADDRNOTAVAIL, By(curl, NewSocket(0, "10.0.0.1:0", "10.9.8.7:443").event(4100*ms, event.Failed)))
	connect.Op, connect.Count = event.OpConnect, 1
	taken := silent.State(9*s, tcp.SynSent, tcp.Close)
	taken.Cause = event.CauseTimeout
	return Join(
		By(nginx, listener.State(1*s, tcp.Close, tcp.Listen)),
		client.Connect(1*s, 400*us, curl), silent.Connect(1500*ms, 0, curl)[:2],
		dropped, stray, full, halfOpen, last, accept, connect,
		Failed(event.ETIMEDOUT, client.State(8*s, tcp.Established, tcp.Close)), taken,
	)
}

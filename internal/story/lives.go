package story

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	us = time.Microsecond
	ms = time.Millisecond
	s  = time.Second
)

var (
	curl  = Task(4242, "curl")
	nginx = event.Task{PID: 1234, UID: 33, Comm: [16]byte{'n', 'g', 'i', 'n', 'x'}}
)

// Plain is a connection that the client closes first, both ends on one host,
// until the end of TIME_WAIT.
func Plain() []event.Event {
	client := NewSocket(0x1a5cd, "10.0.0.1:40000", "10.9.8.7:443")
	server := NewSocket(0x1a5ce, "10.9.8.7:443", "10.0.0.1:40000")
	return Join(
		client.Connect(1*s, 400*us, curl)[:2],
		Numbers(3735928559, 4277009102, client.State(1*s+400*us, tcp.SynSent, tcp.Established)),
		server.Accept(1*s+100*us, 350*us)[:2],
		Numbers(4277009102, 3735928559, server.State(1*s+450*us, tcp.SynRecv, tcp.Established)),
		By(curl, client.State(3*s, tcp.Established, tcp.FinWait1)),
		server.State(3*s+10*us, tcp.Established, tcp.CloseWait),
		client.State(3*s+20*us, tcp.FinWait1, tcp.FinWait2),
		By(nginx, server.State(15345*ms, tcp.CloseWait, tcp.LastAck)),
		client.TimeWait(15345*ms+5*us, tcp.FinWait2),
		server.Totals(15345*ms+9*us, event.Counters{BytesSent: 70000, BytesAcked: 70000, BytesReceived: 80, SegsOut: 52, SegsIn: 30, SRTTus: 412}),
		server.State(15345*ms+9*us, tcp.LastAck, tcp.Close),
		client.TimeWaitEnd(76345*ms, event.CauseExpired),
	)
}

// Refused is a connect() to a port where nobody listens, over IPv6.
func Refused() []event.Event {
	client := NewSocket(0xff, "[2001:db8::1]:50000", "[2001:db8::2]:81")
	peer := NewSocket(0, "[2001:db8::2]:81", "[2001:db8::1]:50000")
	return Join(
		client.Connect(2*s, 0, curl)[:2],
		Answering(flagSYN, peer.ResetSent(2*s+30*us, tcp.Unknown, "NO_SOCKET")),
		client.ResetReceived(2*s+40*us, tcp.SynSent),
		client.Totals(2*s+41*us, event.Counters{SegsOut: 1, SegsIn: 1}),
		Numbers(2882400001, 0, Failed(event.ECONNREFUSED, client.State(2*s+41*us, tcp.SynSent, tcp.Close))),
	)
}

// Lossy is a connection with a SYN, a tail and a whole window sent again, that
// its process aborts while data is unread; then events are lost.
func Lossy() []event.Event {
	client := NewSocket(0xbeef, "[::ffff:192.168.1.10]:51000", "[::ffff:192.168.1.20]:8080")
	handshake := client.Connect(1*s, 1030*ms, nginx)
	return Join(
		handshake[:2],
		client.Retransmit(2*s, tcp.SynSent, event.Retransmission{Seq: 7, RTOms: 1000, Cwnd: 1, CAState: 4, Flags: 2, Head: true}),
		handshake[2],
		client.Retransmit(2200*ms, tcp.Established, event.Retransmission{Seq: 1000, Bytes: 1448, RTOms: 204, SRTTus: 31000, Cwnd: 10, Pending: 5}),
		client.Retransmit(2700*ms, tcp.Established, event.Retransmission{Seq: 1000, Bytes: 1448, RTOms: 408, SRTTus: 31000, Cwnd: 1, CAState: 4, Retransmits: 1, Head: true}),
		By(nginx, client.State(5*s, tcp.Established, tcp.Close)),
		By(nginx, client.ResetSent(5*s+2*us, tcp.Close, "TCP_ABORT_ON_CLOSE")),
		Lost(5*s, 6*s, event.State, 17),
	)
}

// Killed is a connection older than the trace that "ss -K" ends.
func Killed() []event.Event {
	server := NewSocket(0xabc, "10.0.0.1:22", "10.0.0.9:40404")
	return Join(
		By(Task(77, "sshd"), server.State(10*s, tcp.Established, tcp.FinWait1)),
		By(Task(9001, "ss"), Failed(event.ECONNABORTED, server.State(12*s, tcp.FinWait1, tcp.Close))),
	)
}

// Hostile is a connection that stays open, of a process with a name meant to
// disturb.
func Hostile() []event.Event {
	client := NewSocket(0xe1, "10.0.0.1:40001", "10.9.8.7:443")
	return client.Connect(1*s, 400*us, Task(1, "\x1b[31m\"\n\u202e\xff"))
}

// Listener is a socket that listens, and then does not.
func Listener() []event.Event {
	l := NewSocket(0x11, "[::]:443", "")
	return Join(
		By(nginx, l.State(1*s, tcp.Close, tcp.Listen)),
		By(nginx, l.State(90*s, tcp.Listen, tcp.Close)),
	)
}

// HandedOn is a connection that a worker accepts after 2 s and hands to a
// process of its own for each, which closes it.
func HandedOn() []event.Event {
	server := NewSocket(0x51, "10.9.8.7:22", "10.0.0.1:40000")
	child := Task(1300, "sshd-session")
	return Join(
		server.Accept(1*s, 300*us),
		server.Accepted(3*s+300*us, tcp.Established, Task(1200, "sshd")),
		server.Used(4*s, tcp.Established, child),
		By(child, server.State(5*s, tcp.Established, tcp.FinWait1)),
		server.State(5*s+1*ms, tcp.FinWait1, tcp.FinWait2),
		server.TimeWait(5*s+2*ms, tcp.FinWait2),
		server.TimeWaitEnd(65*s, event.CauseExpired),
	)
}

// Healed is a connection that a sweep finds in another state than the last one
// seen: the event between was lost.
func Healed() []event.Event {
	client := NewSocket(0xc1, "10.0.0.1:40002", "10.9.8.7:443")
	return Join(
		client.Connect(1*s, 400*us, curl),
		Lost(2*s, 3*s, event.State, 1),
		client.Seen(8*s, tcp.CloseWait),
		client.Swept(8*s, 8*s+5*ms),
		By(curl, client.State(9*s, tcp.CloseWait, tcp.LastAck)),
		client.Totals(9*s+1*ms, event.Counters{BytesSent: 10, BytesAcked: 11, SegsOut: 4, SegsIn: 3}),
		client.State(9*s+1*ms, tcp.LastAck, tcp.Close),
	)
}

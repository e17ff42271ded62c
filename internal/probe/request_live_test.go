//go:build linux

package probe_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// The client is deaf to SYN-ACKs until both sides have sent again: its SYN, which is
// answered once more, and the server's timer. That is one request still, and as
// many timeouts as the kernel counts.
func TestLive_Request_WhoseSYNComesAgain(t *testing.T) {
	var port, timeouts, segments int
	events, g := playOn(t, probe.Options{}, func(g *ground) {
		listener, p := listen(8)
		port = p
		client := beginDeaf(port)
		g.until("SYN and SYN-ACK twice again each", func() bool { return g.counter("TcpExt TCPSynRetrans") >= 4 })
		undeafen(client)
		g.until("ESTABLISHED", func() bool { return tcp.State(info(client).State) == tcp.Established })
		server, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		mustDo(err)
		timeouts, segments = g.counter("TcpExt TCPTimeouts"), g.counter("Tcp RetransSegs")
		closeAll(client, server, listener)
	})
	var told, synacks int
	for _, ev := range of(events, event.RetransmitSynAck) {
		synacks++
		if ev.Retransmission.Timeout {
			told++
		}
	}
	if capability(g.source, "congestion state").Grade == probe.Exact {
		for _, ev := range of(events, event.Congestion) {
			if ev.Retransmission.Timeout {
				told++
			}
		}
	} else {
		told += len(of(events, event.Retransmit)) // a SYN is sent again by its timer alone
	}
	if told != timeouts {
		t.Errorf("%d timeouts told, the kernel counts %d", told, timeouts)
	}
	if n := synacks + len(of(events, event.Retransmit)); n != segments {
		t.Errorf("%d retransmits told, the kernel counts %d", n, segments)
	}
	if begun, ended := len(of(events, event.RequestBegin)), len(of(events, event.RequestEnd)); begun != 1 || ended != 0 {
		t.Errorf("%d requests began and %d ended without a child, want 1 and 0", begun, ended)
	}
}

//go:build linux

package probe_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const caOpen = 0 // TCP_CA_Open

// The peer is deaf for two timeouts: the state goes to Loss, is set to Loss
// again by the second, and goes back to Open. The timeouts told are those that
// the kernel counts, and the segments those of its RetransSegs.
func TestLive_Congestion_TimeoutsUntilThePeerHears(t *testing.T) {
	var port, timeouts, retransmits int
	events, _ := playOn(t, probe.Options{}, func(g *ground) {
		listener, _ := listen(8)
		client, server := pair(listener)
		port = portOf(client)
		deafen(server)
		must(unix.Write(client, []byte("hello")))
		g.until("two timeouts", func() bool { return g.counter("TcpExt TCPTimeouts") >= 2 })
		undeafen(server)
		must(unix.Read(server, make([]byte, 16)))
		g.until("the acknowledgement", func() bool { return info(client).Unacked == 0 })
		timeouts, retransmits = g.counter("TcpExt TCPTimeouts"), g.counter("Tcp RetransSegs")
		closeAll(client, server, listener)
	})
	var told, segments int
	state := uint8(caOpen)
	changes := at(of(events, event.Congestion), port)
	for i := range changes {
		x := &changes[i].Retransmission
		if changes[i].Old != tcp.Established || x.OldCAState != state || (x.CAState == state && !x.Timeout) {
			t.Errorf("change %d in %v: %d to %d, want from %d: %+v", i, changes[i].Old, x.OldCAState, x.CAState, state, x)
		}
		if x.Timeout {
			told++
		}
		state = x.CAState
	}
	if told != timeouts || told < 2 {
		t.Errorf("%d timeouts told, the kernel counted %d", told, timeouts)
	}
	if state != caOpen {
		t.Errorf("the last state is %d, want Open", state)
	}
	for _, ev := range at(of(events, event.Retransmit), port) {
		segments += int(ev.Retransmission.Segments)
		if total := int(ev.Retransmission.Total); total != segments {
			t.Errorf("the socket's total is %d, the sum of the events %d", total, segments)
		}
	}
	if segments != retransmits {
		t.Errorf("%d segments told, the kernel counted %d", segments, retransmits)
	}
}

package conn

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// resetLine prints a RST with its cause, or an end with it:
//
//	2s client/c1:4000 received reset-linger from server/51 of bot
func resetLine(c *Change) string {
	at := fmt.Sprintf("%v %s ", time.Duration(c.Time), name(c.Conn))
	r := &c.Reset
	switch c.Kind {
	case Ended:
		at += "ended " + c.Conn.End.String()
		if c.Conn.ResetCause != ResetCauseNone {
			at += " by " + c.Conn.ResetCause.String()
		}
		if c.Conn.ResetInferred {
			at += "?"
		}
		return strings.TrimSpace(at)
	case ResetSent:
		at += "sent " + r.Cause.String()
	case ResetReceived:
		at += "received " + r.Cause.String()
	default:
		return ""
	}
	if r.Inferred {
		at += "?"
	}
	if c.Kind == ResetSent && c.Task.Known() {
		at += " by " + comm(&c.Task)
	}
	if r.PeerKnown {
		at += fmt.Sprintf(" peer %d/%x", r.Peer.NetNS, r.Peer.Cookie)
		if r.PeerOwner.Known() {
			at += " of " + comm(&r.PeerOwner.Task)
		}
		if r.PeerActor.Known() {
			at += " by " + comm(&r.PeerActor)
		}
	}
	return at
}

// resetStory runs events through a new tracker, and compares what is said of
// RSTs and of ends.
func resetStory(t *testing.T, want string, parts ...any) {
	t.Helper()
	tr := New(Options{})
	var lines []string
	show := func(c *Change) {
		if l := resetLine(c); l != "" {
			lines = append(lines, l)
		}
	}
	for _, ev := range events(parts...) {
		tr.Handle(ev, show)
	}
	tr.Finish(event.Time(1000*s), show)
	expect(t, lines, want)
}

func because(reason string, facts event.ResetFacts, ev *event.Event) *event.Event {
	ev.Reason, ev.Reset = reason, facts
	return ev
}

// both is a connection whose ends are both here, client of curl.
func both(c, v socket) []*event.Event {
	return events(
		by("curl", c.state(1*s, tcp.Close, tcp.SynSent)), c.bound(1*s+1*us), v.request(1*s+2*us),
		c.state(1001*ms, tcp.SynSent, tcp.Established), v.state(1001*ms, tcp.SynRecv, tcp.Established),
		v.process(event.Accepted, 1002*ms, tcp.Established, "nginx"),
	)
}

var lingering = event.ResetFacts{Socket: true, Shutdown: 3, Linger0: true}

func reset(c socket, at time.Duration) []*event.Event {
	return events(
		c.resetReceived(at, tcp.Established), failing(event.ECONNRESET, c.state(at, tcp.Established, tcp.Close)))
}

// As the kernel reports it on loopback: received, and then sent.
func TestReset_ReceivedBeforeSent(t *testing.T) {
	resetStory(t, `
		2s client/c1:4000 ended reset_sent by reset-linger
		2.00002s client/c1:4000 sent reset-linger by curl peer 1/51 of nginx
		2.00001s server/51:80 received reset-linger peer 1/c1 of curl by curl
		2.00001s server/51:80 ended reset_received by reset-linger`,
		both(aClient, aServer),
		by("curl", aClient.state(2*s, tcp.Established, tcp.Close)),
		reset(aServer, 2*s+10*us),
		by("curl", because("TCP_STATE", lingering, aClient.resetSent(2*s+20*us, tcp.Close))),
	)
}

// Between two namespaces, by a process that is neither end's.
func TestReset_SentBeforeReceived(t *testing.T) {
	v := aServer
	v.id.NetNS = 2
	resetStory(t, `
		2s client/c1:4000 sent reset-aborted by ss peer 2/51 of nginx
		2.00001s client/c1:4000 ended aborted by reset-aborted
		2.3s server/51:80 received reset-aborted peer 1/c1 of curl by ss
		2.3s server/51:80 ended reset_received by reset-aborted`,
		both(aClient, v),
		by("ss", because("TCP_STATE", event.ResetFacts{Socket: true}, aClient.resetSent(2*s, tcp.Established))),
		by("ss", failing(event.ECONNABORTED, aClient.state(2*s+10*us, tcp.Established, tcp.Close))),
		reset(v, 2300*ms),
	)
}

// The receiver's CLOSE may be handed over after the sender's RST.
func TestReset_SentBetweenReceivedAndClose(t *testing.T) {
	resetStory(t, `
		2s client/c1:4000 ended reset_sent by reset-linger
		2.00002s client/c1:4000 sent reset-linger by curl peer 1/51 of nginx
		2.00001s server/51:80 received reset-linger peer 1/c1 of curl by curl
		2.00003s server/51:80 ended reset_received by reset-linger`,
		both(aClient, aServer),
		by("curl", aClient.state(2*s, tcp.Established, tcp.Close)),
		aServer.resetReceived(2*s+10*us, tcp.Established),
		by("curl", because("TCP_STATE", lingering, aClient.resetSent(2*s+20*us, tcp.Close))),
		failing(event.ECONNRESET, aServer.state(2*s+30*us, tcp.Established, tcp.Close)),
	)
}

// Every namespace has a 127.0.0.1: a RST in one is not received in the other.
func TestReset_LoopbackIsEachNamespacesOwn(t *testing.T) {
	loop := func(n socket, netns uint32, cookie uint64) socket {
		n.id = event.ID{NetNS: netns, Cookie: cookie}
		home := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		n.local, n.remote = netip.AddrPortFrom(home, n.local.Port()), netip.AddrPortFrom(home, n.remote.Port())
		return n
	}
	c, v := loop(aClient, 1, 0xc1), loop(aServer, 2, 0x51)
	resetStory(t, `
		2s client/c1:4000 ended reset_sent by reset-linger
		2.00002s client/c1:4000 sent reset-linger by curl
		2.00003s server/51:80 received reset-by-peer
		2.00003s server/51:80 ended reset_received by reset-by-peer`,
		both(c, v),
		by("curl", c.state(2*s, tcp.Established, tcp.Close)),
		by("curl", because("TCP_STATE", lingering, c.resetSent(2*s+20*us, tcp.Close))),
		reset(v, 2*s+30*us),
	)
}

// The peer is here and did nothing: somebody between the two did. Where events
// were lost it may have.
func TestReset_Firewall(t *testing.T) {
	resetStory(t, `
		2s client/c1:4000 received firewall? peer 1/51 of nginx
		2s client/c1:4000 ended reset_received by firewall?
		16m40s server/51:80 ended`,
		both(aClient, aServer), reset(aClient, 2*s))
	resetStory(t, `
		2s client/c1:4000 received reset-by-peer peer 1/51 of nginx
		2s client/c1:4000 ended reset_received by reset-by-peer
		16m40s server/51:80 ended`,
		both(aClient, aServer), reset(aClient, 2*s), lost(3, 1900*ms, 2*s+10*ms))
}

// The server's RST of 30 ms later is not what the client received, and nobody
// receives it.
func TestReset_SentLaterIsAnother(t *testing.T) {
	resetStory(t, `
		2.03s server/51:80 ended reset_sent by reset-linger
		2.03001s server/51:80 sent reset-linger by nginx peer 1/c1 of curl
		2s client/c1:4000 received firewall? peer 1/51 of nginx
		2s client/c1:4000 ended reset_received by firewall?`,
		both(aClient, aServer), reset(aClient, 2*s),
		by("nginx", aServer.state(2030*ms, tcp.Established, tcp.Close)),
		by("nginx", because("TCP_STATE", lingering, aServer.resetSent(2030*ms+10*us, tcp.Close))),
	)
}

// A segment for a socket that its process has closed is answered for it.
func TestReset_AnsweredForOneThatIsGone(t *testing.T) {
	nobody := aClient
	nobody.id.Cookie = 0
	resetStory(t, `
		2s client/c1:4000 ended reset_sent by reset-linger
		2.00001s client/c1:4000 sent reset-linger by curl peer 1/51 of nginx
		7s client/c1:4000 sent reset-after-close peer 1/51 of nginx
		7.00001s server/51:80 received reset-after-close peer 1/c1 of curl
		7.00001s server/51:80 ended reset_received by reset-after-close`,
		both(aClient, aServer),
		by("curl", aClient.state(2*s, tcp.Established, tcp.Close)),
		by("curl", because("TCP_STATE", lingering, aClient.resetSent(2*s+10*us, tcp.Close))), // and is lost
		because("NO_SOCKET", answer(ackOnly, 5), nobody.resetSent(7*s, tcp.Unknown)),
		reset(aServer, 7*s+10*us),
	)
}

// Who closed the listener has reset what was not accepted.
func TestReset_ListenerClosed(t *testing.T) {
	l := socket{id: event.ID{NetNS: 1, Cookie: 0x1}, local: serverAddr}
	resetStory(t, `
		2.00001s server/51:80 ended reset_sent by listener-closed
		2.00002s server/51:80 sent listener-closed by nginx peer 1/c1 of curl
		2.000015s client/c1:4000 received listener-closed peer 1/51 by nginx
		2.000015s client/c1:4000 ended reset_received by listener-closed`,
		by("nginx", l.state(500*ms, tcp.Close, tcp.Listen)),
		both(aClient, aServer)[:5],
		by("nginx", portKnown(l, l.state(2*s, tcp.Listen, tcp.Close))),
		aServer.state(2*s+10*us, tcp.Established, tcp.Close),
		reset(aClient, 2*s+15*us),
		because("TCP_STATE", event.ResetFacts{Socket: true}, aServer.resetSent(2*s+20*us, tcp.Close)),
	)
}

// A RST that did not end the connection is not why it ended.
func TestReset_NotTheEnd(t *testing.T) {
	c := aClient
	resetStory(t, `
		1.0001s client/c1:4000 sent bad-segment
		4s client/c1:4000 ended fin`,
		by("curl", c.state(1*s, tcp.Close, tcp.SynSent)), c.bound(1*s+1*us),
		because("TCP_INVALID_ACK_SEQUENCE", with(answer(ackOnly, 0), fullSocket), c.resetSent(1*s+100*us, tcp.SynSent)),
		c.state(1001*ms, tcp.SynSent, tcp.Established),
		c.state(2*s, tcp.Established, tcp.CloseWait), c.state(3*s, tcp.CloseWait, tcp.LastAck),
		c.state(4*s, tcp.LastAck, tcp.Close))
}

// A connection older than the trace, first known by the RST that it sends.
func TestReset_OlderThanTrace(t *testing.T) {
	c := aClient
	resetStory(t, `
		3s unknown/c1:4000 sent dead-peer
		3.00001s unknown/c1:4000 ended timeout by dead-peer`,
		because("TCP_KEEPALIVE_TIMEOUT", event.ResetFacts{Socket: true, Probes: 3}, c.resetSent(3*s, tcp.Established)),
		failing(event.ETIMEDOUT, c.state(3*s+10*us, tcp.Established, tcp.Close)))
}

// What a RST from another host tells.
func TestReset_FromAfar(t *testing.T) {
	for _, tt := range []struct {
		in   tcp.State
		want string
	}{
		{tcp.Established, "reset-by-peer"}, {tcp.FinWait1, "reset-by-peer"}, {tcp.CloseWait, "reset-after-close?"}, {tcp.LastAck, "reset-after-close?"},
	} {
		c := aClient
		evs := c.connected(1 * s)
		for from := tcp.Established; from != tt.in; {
			to := map[tcp.State]tcp.State{tcp.Established: tcp.CloseWait, tcp.CloseWait: tcp.LastAck}[from]
			if tt.in == tcp.FinWait1 {
				to = tt.in
			}
			evs = append(evs, c.state(2*s, from, to))
			from = to
		}
		resetStory(t, fmt.Sprintf(`
			3s client/c1:4000 received %s
			3s client/c1:4000 ended reset_received by %[1]s`, tt.want),
			evs, c.resetReceived(3*s, tt.in), failing(event.ECONNRESET, c.state(3*s, tt.in, tcp.Close)))
	}
}

// However many wait, memory is bounded, and each is told once.
func TestReset_ManyWait(t *testing.T) {
	const n = maxDoubts + 101
	tr := New(Options{})
	received, ended := 0, 0
	count := func(c *Change) {
		switch c.Kind {
		case ResetReceived:
			received++
		case Ended:
			ended++
		}
	}
	for i := range n {
		c := numbered(i)
		for _, ev := range events(c.connected(1*s), reset(c, 2*s)) {
			tr.Handle(ev, count)
		}
	}
	if tr.doubts.count != maxDoubts || received != 101 || ended != 101 {
		t.Errorf("%d wait, %d received, %d ended; want %d, 101, 101", tr.doubts.count, received, ended, maxDoubts)
	}
	tr.Advance(event.Time(2*s)+patience+1, count)
	if received != n || ended != n || tr.doubts.count != 0 {
		t.Errorf("%d received, %d ended, %d wait; want %d, %[4]d, 0", received, ended, tr.doubts.count, n)
	}
}

// Of RSTs that nobody receives, only so many are remembered.
func TestReset_ManySent(t *testing.T) {
	tr := New(Options{})
	for i := range 3 * maxResets {
		nobody := numbered(i)
		nobody.id.Cookie = 0
		nobody.remote = netip.AddrPortFrom(nobody.remote.Addr(), uint16(1000+i))
		ev := because("NO_SOCKET", answer(synOnly, 0), nobody.resetSent(1*s, tcp.Unknown))
		tr.Handle(ev, func(*Change) {})
	}
	if len(tr.resets.sent) != maxResets || len(tr.resets.byEnds) != maxResets {
		t.Errorf("%d remembered, %d found; want %d", len(tr.resets.sent), len(tr.resets.byEnds), maxResets)
	}
}

// A storm on a closed port, from addresses that differ.
func BenchmarkReset_ClosedPort(b *testing.B) {
	tr := New(Options{Reuse: true})
	nobody := aClient
	nobody.id.Cookie = 0
	ev := because("NO_SOCKET", answer(synOnly, 0), nobody.resetSent(1*s, tcp.Unknown))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		ev.Time++
		ev.Remote = netip.AddrPortFrom(serverAddr.Addr(), uint16(1+i%60_000))
		tr.Handle(ev, func(*Change) {})
	}
}

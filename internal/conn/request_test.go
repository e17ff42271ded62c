package conn

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A request socket without a cookie: its first record waits for the child's.
func TestTracker_RequestJoinedByAddresses(t *testing.T) {
	c := aServer
	tr := New(Options{})
	expect(t, tell(tr, events(c.requestNoCookie(1*s))), "")
	if st := tr.Stats(); st.Live != 1 || st.States[tcp.SynRecv] != 1 {
		t.Errorf("while it waits: %d live, %d in SYN_RECV", st.Live, st.States[tcp.SynRecv])
	}
	expect(t, tell(tr, events(c.state(1200*ms, tcp.SynRecv, tcp.Established))), `
		1s server/51:80 LISTEN>SYN_RECV ?
		1.2s server/51:80 SYN_RECV>ESTABLISHED 200ms`)
	expect(t, finish(tr, 2*s), `2s server/51:80 ended open SYN_RECV=200ms ESTABLISHED=...`)
}

func TestTracker_TwoRequestsOfOneListener(t *testing.T) {
	a, b := aServer, aServer
	b.id.Cookie = 0x52
	b.remote = netip.MustParseAddrPort("10.0.0.1:4001")
	elsewhere := a // the same addresses in another namespace
	elsewhere.id = event.ID{NetNS: 2, Cookie: 0x53}
	story(t, `
		1.1s server/52:80 LISTEN>SYN_RECV ?
		1.3s server/52:80 SYN_RECV>ESTABLISHED 200ms
		1s server/51:80 LISTEN>SYN_RECV ?
		1.4s server/51:80 SYN_RECV>ESTABLISHED 400ms
		1.2s server/53:80 LISTEN>SYN_RECV ?
		1.5s server/53:80 SYN_RECV>ESTABLISHED 300ms
		16m40s server/51:80 ended open SYN_RECV=400ms ESTABLISHED=...
		16m40s server/52:80 ended open SYN_RECV=200ms ESTABLISHED=...
		16m40s server/53:80 ended open SYN_RECV=300ms ESTABLISHED=...`,
		a.requestNoCookie(1000*ms),
		b.requestNoCookie(1100*ms),
		elsewhere.requestNoCookie(1200*ms),
		b.state(1300*ms, tcp.SynRecv, tcp.Established),
		a.state(1400*ms, tcp.SynRecv, tcp.Established),
		elsewhere.state(1500*ms, tcp.SynRecv, tcp.Established),
	)
}

// One hook says 10.0.0.2, another ::ffff:10.0.0.2 of a dual-stack listener.
func TestTracker_RequestJoinedAcrossMappedAddresses(t *testing.T) {
	c := aServer
	mapped := c.requestNoCookie(1 * s)
	mapped.Local = netip.MustParseAddrPort("[::ffff:10.0.0.2]:80")
	mapped.Remote = netip.MustParseAddrPort("[::ffff:10.0.0.1]:4000")
	story(t, `
		1s server/51:80 LISTEN>SYN_RECV ?
		1.2s server/51:80 SYN_RECV>ESTABLISHED 200ms
		16m40s server/51:80 ended open SYN_RECV=200ms ESTABLISHED=...`,
		mapped, c.state(1200*ms, tcp.SynRecv, tcp.Established))
}

// The SYN-ACK's retransmission makes a cookie, and tells it.
func TestTracker_SynAckRetransmitTellsTheCookie(t *testing.T) {
	c := aServer
	again := c.event(event.RetransmitSynAck, 2*s)
	again.Old = tcp.SynRecv
	story(t, `
		1s server/51:80 LISTEN>SYN_RECV ?
		2s server/51:80 retransmitted synack
		2.2s server/51:80 episode recovered 1.2s synack
		2.2s server/51:80 SYN_RECV>ESTABLISHED 1.2s
		16m40s server/51:80 ended open SYN_RECV=1.2s ESTABLISHED=...`,
		c.requestNoCookie(1*s), again, c.state(2200*ms, tcp.SynRecv, tcp.Established))
}

func TestTracker_HandshakeAbandoned(t *testing.T) {
	c := aServer
	again := func(ev *event.Event) *event.Event { ev.ID.Cookie = 0; return ev }
	story(t, `
		1s server/0:80 LISTEN>SYN_RECV ?
		2s server/0:80 retransmitted synack
		1m4s server/0:80 SYN_RECV>CLOSE 1m3s timeout
		1m4s server/0:80 episode failed 1m3s synack
		1m4s server/0:80 ended timeout SYN_RECV=1m3s`,
		c.requestNoCookie(1*s),
		again(c.event(event.RetransmitSynAck, 2*s)),
		again(c.requestEnd(64*s, event.CauseTimeout)),
	)
}

func TestTracker_HandshakeEnds(t *testing.T) {
	ends := map[event.Cause]string{
		event.CauseTimeout:   "timeout",
		event.CauseExpired:   "timeout",
		event.CauseReset:     "reset_received",
		event.CauseOverflow:  "reset_sent",
		event.CauseKilled:    "aborted",
		event.CauseNetnsExit: "aborted",
	}
	for cause, end := range ends {
		t.Run(cause.String(), func(t *testing.T) {
			c := aServer
			story(t, `
				1s server/51:80 LISTEN>SYN_RECV ?
				1.5s server/51:80 SYN_RECV>CLOSE 500ms `+cause.String()+`
				1.5s server/51:80 ended `+end+` SYN_RECV=500ms`,
				c.request(1*s), c.requestEnd(1500*ms, cause))
		})
	}
}

// The request's timer runs on one processor while a RST ends it on another: the
// SYN-ACK that is sent then begins nothing.
func TestTracker_HandshakeEnds_AsItsTimerRuns(t *testing.T) {
	c := aServer
	tr := story(t, `
		1s server/51:80 LISTEN>SYN_RECV ?
		2s server/51:80 SYN_RECV>CLOSE 1s reset
		2s server/51:80 ended reset_received SYN_RECV=1s
		2.005s server/51:80 retransmitted synack`,
		c.request(1*s), c.requestEnd(2*s, event.CauseReset), c.event(event.RetransmitSynAck, 2005*ms))
	if st := tr.Stats(); st.Live != 0 || st.Late != 1 {
		t.Errorf("%d live and %d late, want 0 and 1", st.Live, st.Late)
	}
}

// The client of the handshake that the server's full accept queue reset, and
// of the one that it reset itself (the server's is above).
func TestTracker_ResetDuringHandshake_Client(t *testing.T) {
	c := aClient
	story(t, `
		1s client/c1:4000 CLOSE>SYN_SENT ?
		1.001s client/c1:4000 SYN_SENT>ESTABLISHED 1ms
		1.002s client/c1:4000 reset received in ESTABLISHED
		1.002s client/c1:4000 ESTABLISHED>CLOSE 1ms
		1.002s client/c1:4000 ended reset_received errno=104 SYN_SENT=1ms ESTABLISHED=1ms`,
		c.connected(1*s),
		c.resetReceived(1002*ms, tcp.Established),
		failing(104, c.state(1002*ms, tcp.Established, tcp.Close)),
	)
	story(t, `
		1s client/c1:4000 CLOSE>SYN_SENT ? by nmap
		1.0005s client/c1:4000 SYN_SENT>CLOSE 500µs by nmap
		1.0005s client/c1:4000 ended abandoned owner=nmap/connect closer=nmap/close SYN_SENT=500µs`,
		by("nmap", c.state(1*s, tcp.Close, tcp.SynSent)),
		c.bound(1*s+1*us),
		by("nmap", c.state(1*s+500*us, tcp.SynSent, tcp.Close)),
	)
}

// A SYN cookie: the kernel kept nothing of the SYN, SYN_RECV is an instant.
func TestTracker_SynCookie(t *testing.T) {
	c := aServer
	child := c.state(1*s, tcp.SynRecv, tcp.Established)
	child.WithoutRequest = true
	story(t, `
		1s server/51:80 LISTEN>SYN_RECV ?
		1s server/51:80 SYN_RECV>ESTABLISHED 0s
		16m40s server/51:80 ended open SYN_RECV=0s ESTABLISHED=...`, child)
}

// The SYN came before the trace.
func TestTracker_ChildWithoutKnownRequest(t *testing.T) {
	c := aServer
	story(t, `
		1s server/51:80 SYN_RECV>ESTABLISHED ?
		16m40s server/51:80 ended open incomplete begin-unknown SYN_RECV=~0s ESTABLISHED=...`,
		c.state(1*s, tcp.SynRecv, tcp.Established))
}

func TestTracker_ChildClosedOrResetInSynRecv(t *testing.T) {
	c := aServer
	story(t, `
		1s server/51:80 LISTEN>SYN_RECV ?
		1.2s server/51:80 SYN_RECV>FIN_WAIT1 200ms by inetd
		16m40s server/51:80 ended open owner=inetd/close closer=inetd/close SYN_RECV=200ms FIN_WAIT1=...`,
		c.requestNoCookie(1*s),
		by("inetd", c.state(1200*ms, tcp.SynRecv, tcp.FinWait1)))
	story(t, `
		1s server/51:80 LISTEN>SYN_RECV ?
		1.2s server/51:80 SYN_RECV>CLOSE 200ms
		1.2s server/51:80 ended reset_received errno=104 SYN_RECV=200ms`,
		c.requestNoCookie(1*s),
		portKnown(c, failing(104, c.state(1200*ms, tcp.SynRecv, tcp.Close))))
}

// The same addresses ask again while the old request has not been seen to end.
func TestTracker_RequestLostItsEnd(t *testing.T) {
	c := aServer
	story(t, `
		1s server/0:80 LISTEN>SYN_RECV ?
		5s server/0:80 ended incomplete SYN_RECV=4s~
		5s server/51:80 LISTEN>SYN_RECV ?
		5.1s server/51:80 SYN_RECV>ESTABLISHED 100ms
		16m40s server/51:80 ended open SYN_RECV=100ms ESTABLISHED=...`,
		c.requestNoCookie(1*s), c.requestNoCookie(5*s), c.state(5100*ms, tcp.SynRecv, tcp.Established))
}

func TestTracker_RequestEndOlderThanTrace(t *testing.T) {
	c := aServer
	story(t, `
		1s server/51:80 SYN_RECV>CLOSE ? timeout
		1s server/51:80 ended timeout incomplete begin-unknown SYN_RECV=~0s`,
		c.requestEnd(1*s, event.CauseTimeout))
}

// The end of a request that became a socket is no end of the connection.
func TestTracker_RequestEndAfterTheChild(t *testing.T) {
	c := aServer
	tr := story(t, `
		1s server/51:80 LISTEN>SYN_RECV ?
		1.001s server/51:80 SYN_RECV>ESTABLISHED 1ms
		16m40s server/51:80 ended open SYN_RECV=1ms ESTABLISHED=...`,
		c.accepted(1*s), c.requestEnd(1001*ms, event.CauseUnknown))
	if n := tr.Stats().Stray; n != 1 {
		t.Errorf("%d stray events, want 1", n)
	}
}

// Still waiting for a cookie as the trace ends.
func TestTracker_RequestHeldUntilFinish(t *testing.T) {
	story(t, `
		1s server/0:80 LISTEN>SYN_RECV ?
		16m40s server/0:80 ended open SYN_RECV=...`,
		aServer.requestNoCookie(1*s))
}

// Two ACKs on two processors make two children of one request. The one that is
// taken back ends nothing, whether it or the other comes first, and whether or not
// they have the request's cookie.
func TestTracker_TwoChildrenOfOneRequest(t *testing.T) {
	twin := func(c socket, at time.Duration) *event.Event {
		ev := portKnown(c, c.state(at, tcp.SynRecv, tcp.Close))
		ev.Cause = event.CauseTwin
		return ev
	}
	c, other := aServer, aServer
	other.id.Cookie = 0x52
	for name, taken := range map[string]*event.Event{
		"before":              twin(c, 1199*ms),
		"after":               twin(c, 1201*ms),
		"long after":          twin(c, 3*s),
		"with its own cookie": twin(other, 1199*ms),
	} {
		for _, request := range []*event.Event{c.request(1 * s), c.requestNoCookie(1 * s)} {
			t.Run(name, func(t *testing.T) {
				life := []*event.Event{
					request, c.state(1200*ms, tcp.SynRecv, tcp.Established), taken,
					c.state(4*s, tcp.Established, tcp.CloseWait),
				}
				slices.SortFunc(life, func(a, b *event.Event) int { return int(a.Time - b.Time) })
				tr := story(t, `
					1s server/51:80 LISTEN>SYN_RECV ?
					1.2s server/51:80 SYN_RECV>ESTABLISHED 200ms
					4s server/51:80 ESTABLISHED>CLOSE_WAIT 2.8s
					16m40s server/51:80 ended open SYN_RECV=200ms ESTABLISHED=2.8s CLOSE_WAIT=...`, life)
				if st := tr.Stats(); st.Stray != 1 || st.Missing != 0 || st.Reborn != 0 {
					t.Errorf("%d stray, %d missing, %d reborn; want 1, 0, 0", st.Stray, st.Missing, st.Reborn)
				}
			})
		}
	}
}

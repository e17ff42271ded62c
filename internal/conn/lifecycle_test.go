package conn

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	us = time.Microsecond
	ms = time.Millisecond
	s  = time.Second
)

func TestTracker_ClientClosesFirst_Client(t *testing.T) {
	c := aClient
	story(t, `
		1s client/c1:4000 CLOSE>SYN_SENT ? by curl
		1.001s client/c1:4000 SYN_SENT>ESTABLISHED 1ms
		3s client/c1:4000 ESTABLISHED>FIN_WAIT1 1.999s by curl
		3.001s client/c1:4000 FIN_WAIT1>FIN_WAIT2 1ms
		3.002s client/c1:4000 FIN_WAIT2>TIME_WAIT 1ms
		1m4s client/c1:4000 TIME_WAIT>CLOSE 1m0.998s expired
		1m4s client/c1:4000 ended fin sent=17 owner=curl/connect closer=curl/close SYN_SENT=1ms ESTABLISHED=1.999s FIN_WAIT1=1ms FIN_WAIT2=1ms TIME_WAIT=1m0.998s`,
		by("curl", c.state(1*s, tcp.Close, tcp.SynSent)),
		c.bound(1*s+2*us),
		c.state(1*s+1*ms, tcp.SynSent, tcp.Established),
		by("curl", c.state(3*s, tcp.Established, tcp.FinWait1)),
		c.state(3*s+1*ms, tcp.FinWait1, tcp.FinWait2),
		c.timeWaitBegin(3*s+2*ms, tcp.TimeWait),
		c.totals(3*s+2*ms+5*us, 17),
		c.state(3*s+2*ms+5*us, tcp.FinWait2, tcp.Close),
		c.timeWaitEnd(64*s, tcp.TimeWait, event.CauseExpired),
	)
}

func TestTracker_ClientClosesFirst_Server(t *testing.T) {
	c := aServer
	story(t, `
		1s server/51:80 LISTEN>SYN_RECV ?
		1.001s server/51:80 SYN_RECV>ESTABLISHED 1ms
		3s server/51:80 ESTABLISHED>CLOSE_WAIT 1.999s
		3.001s server/51:80 CLOSE_WAIT>LAST_ACK 1ms by nginx
		3.002s server/51:80 LAST_ACK>CLOSE 1ms
		3.002s server/51:80 ended fin sent=4 owner=nginx/close closer=nginx/close SYN_RECV=1ms ESTABLISHED=1.999s CLOSE_WAIT=1ms LAST_ACK=1ms`,
		c.accepted(1*s),
		c.state(3*s, tcp.Established, tcp.CloseWait),
		by("nginx", c.state(3*s+1*ms, tcp.CloseWait, tcp.LastAck)),
		c.totals(3*s+2*ms, 4),
		c.state(3*s+2*ms, tcp.LastAck, tcp.Close),
	)
}

func TestTracker_ServerClosesFirst_Client(t *testing.T) {
	c := aClient
	story(t, `
		1s client/c1:4000 CLOSE>SYN_SENT ?
		1.001s client/c1:4000 SYN_SENT>ESTABLISHED 1ms
		2s client/c1:4000 ESTABLISHED>CLOSE_WAIT 999ms
		9s client/c1:4000 CLOSE_WAIT>LAST_ACK 7s by curl
		9.001s client/c1:4000 LAST_ACK>CLOSE 1ms
		9.001s client/c1:4000 ended fin owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms CLOSE_WAIT=7s LAST_ACK=1ms`,
		c.connected(1*s),
		c.state(2*s, tcp.Established, tcp.CloseWait),
		by("curl", c.state(9*s, tcp.CloseWait, tcp.LastAck)),
		c.state(9*s+1*ms, tcp.LastAck, tcp.Close),
	)
}

func TestTracker_ServerClosesFirst_Server(t *testing.T) {
	c := aServer
	story(t, `
		1s server/51:80 LISTEN>SYN_RECV ?
		1.001s server/51:80 SYN_RECV>ESTABLISHED 1ms
		2s server/51:80 ESTABLISHED>FIN_WAIT1 999ms by nginx
		2.001s server/51:80 FIN_WAIT1>FIN_WAIT2 1ms
		2.003s server/51:80 FIN_WAIT2>TIME_WAIT 2ms
		1m3s server/51:80 TIME_WAIT>CLOSE 1m0.997s expired
		1m3s server/51:80 ended fin owner=nginx/close closer=nginx/close SYN_RECV=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=2ms TIME_WAIT=1m0.997s`,
		c.accepted(1*s),
		by("nginx", c.state(2*s, tcp.Established, tcp.FinWait1)),
		c.state(2*s+1*ms, tcp.FinWait1, tcp.FinWait2),
		c.timeWaitBegin(2*s+3*ms, tcp.TimeWait),
		c.state(2*s+3*ms, tcp.FinWait2, tcp.Close),
		c.timeWaitEnd(63*s, tcp.TimeWait, event.CauseExpired),
	)
}

// shutdown(SHUT_WR): FIN_WAIT2 stays a full socket for as long as is wanted;
// the later close() is reported as FIN_WAIT2 -> FIN_WAIT2, which is no
// transition.
func TestTracker_HalfClose_TheEndThatShutsDown(t *testing.T) {
	c := aClient
	story(t, `
		1s client/c1:4000 CLOSE>SYN_SENT ?
		1.001s client/c1:4000 SYN_SENT>ESTABLISHED 1ms
		2s client/c1:4000 ESTABLISHED>FIN_WAIT1 999ms by ssh
		2.001s client/c1:4000 FIN_WAIT1>FIN_WAIT2 1ms
		1m40s client/c1:4000 FIN_WAIT2>TIME_WAIT 1m37.999s
		2m41s client/c1:4000 TIME_WAIT>CLOSE 1m1s expired
		2m41s client/c1:4000 ended fin owner=ssh/close closer=ssh/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=1m37.999s TIME_WAIT=1m1s`,
		c.connected(1*s),
		by("ssh", c.state(2*s, tcp.Established, tcp.FinWait1)),
		c.state(2*s+1*ms, tcp.FinWait1, tcp.FinWait2),
		c.timeWaitBegin(100*s, tcp.TimeWait),
		by("ssh", c.state(100*s, tcp.FinWait2, tcp.Close)),
		c.timeWaitEnd(161*s, tcp.TimeWait, event.CauseExpired),
	)
}

func TestTracker_HalfClose_TheOtherEndStillOpen(t *testing.T) {
	c := aServer
	story(t, `
		1s server/51:80 LISTEN>SYN_RECV ?
		1.001s server/51:80 SYN_RECV>ESTABLISHED 1ms
		2s server/51:80 ESTABLISHED>CLOSE_WAIT 999ms
		16m40s server/51:80 ended open SYN_RECV=1ms ESTABLISHED=999ms CLOSE_WAIT=...`,
		c.accepted(1*s),
		c.state(2*s, tcp.Established, tcp.CloseWait),
	)
}

func TestTracker_CloseAfterShutdownIsNoTransition(t *testing.T) {
	c := aClient
	tr := story(t, `
		1s client/c1:4000 CLOSE>SYN_SENT ?
		1.001s client/c1:4000 SYN_SENT>ESTABLISHED 1ms
		2s client/c1:4000 ESTABLISHED>FIN_WAIT1 999ms
		2.001s client/c1:4000 FIN_WAIT1>FIN_WAIT2 1ms
		9s client/c1:4000 orphaned
		16m40s client/c1:4000 ended open owner=ssh/close closer=ssh/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=...`,
		c.connected(1*s),
		c.state(2*s, tcp.Established, tcp.FinWait1),
		c.state(2*s+1*ms, tcp.FinWait1, tcp.FinWait2),
		by("ssh", c.state(9*s, tcp.FinWait2, tcp.FinWait2)),
		c.timeWaitBegin(9*s, tcp.FinWait2),
		by("ssh", c.state(9*s, tcp.FinWait2, tcp.Close)),
	)
	if st := tr.Stats(); st.Illegal != 0 || st.Missing != 0 {
		t.Errorf("%d illegal, %d missing transitions", st.Illegal, st.Missing)
	}
}

// Both ends bind and connect to each other.
func TestTracker_SimultaneousOpen_BothEnds(t *testing.T) {
	a := socket{event.ID{NetNS: 1, Cookie: 0xa}, clientAddr, serverAddr}
	b := socket{event.ID{NetNS: 2, Cookie: 0xb}, serverAddr, clientAddr}
	story(t, `
		1s client/a:4000 CLOSE>SYN_SENT ?
		1s client/b:80 CLOSE>SYN_SENT ?
		1.1s client/a:4000 SYN_SENT>SYN_RECV 100ms
		1.1s client/b:80 SYN_SENT>SYN_RECV 100ms
		1.2s client/b:80 SYN_RECV>ESTABLISHED 100ms
		1.201s client/a:4000 SYN_RECV>ESTABLISHED 101ms
		16m40s client/a:4000 ended open SYN_SENT=100ms SYN_RECV=101ms ESTABLISHED=...
		16m40s client/b:80 ended open SYN_SENT=100ms SYN_RECV=100ms ESTABLISHED=...`,
		portKnown(a, a.state(1*s, tcp.Close, tcp.SynSent)),
		portKnown(b, b.state(1*s, tcp.Close, tcp.SynSent)),
		a.state(1100*ms, tcp.SynSent, tcp.SynRecv),
		b.state(1100*ms, tcp.SynSent, tcp.SynRecv),
		b.state(1200*ms, tcp.SynRecv, tcp.Established),
		a.state(1201*ms, tcp.SynRecv, tcp.Established),
	)
}

func TestTracker_SimultaneousClose_BothEnds(t *testing.T) {
	c, v := aClient, aServer
	story(t, `
		1s client/c1:4000 CLOSE>SYN_SENT ?
		1s server/51:80 LISTEN>SYN_RECV ?
		1.001s client/c1:4000 SYN_SENT>ESTABLISHED 1ms
		1.001s server/51:80 SYN_RECV>ESTABLISHED 1ms
		2s client/c1:4000 ESTABLISHED>FIN_WAIT1 999ms by curl
		2s server/51:80 ESTABLISHED>FIN_WAIT1 999ms by nginx
		2.1s client/c1:4000 FIN_WAIT1>CLOSING 100ms
		2.1s server/51:80 FIN_WAIT1>CLOSING 100ms
		2.2s client/c1:4000 CLOSING>TIME_WAIT 100ms
		2.201s server/51:80 CLOSING>TIME_WAIT 101ms
		1m3s client/c1:4000 TIME_WAIT>CLOSE 1m0.8s expired
		1m3s client/c1:4000 ended fin owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=100ms CLOSING=100ms TIME_WAIT=1m0.8s
		1m3s server/51:80 TIME_WAIT>CLOSE 1m0.799s expired
		1m3s server/51:80 ended fin owner=nginx/close closer=nginx/close SYN_RECV=1ms ESTABLISHED=999ms FIN_WAIT1=100ms CLOSING=101ms TIME_WAIT=1m0.799s`,
		c.state(1*s, tcp.Close, tcp.SynSent), c.bound(1*s+1*us), v.request(1*s),
		c.state(1001*ms, tcp.SynSent, tcp.Established), v.state(1001*ms, tcp.SynRecv, tcp.Established),
		by("curl", c.state(2*s, tcp.Established, tcp.FinWait1)),
		by("nginx", v.state(2*s, tcp.Established, tcp.FinWait1)),
		c.state(2100*ms, tcp.FinWait1, tcp.Closing), v.state(2100*ms, tcp.FinWait1, tcp.Closing),
		c.timeWaitBegin(2200*ms, tcp.TimeWait), c.state(2200*ms, tcp.Closing, tcp.Close),
		v.timeWaitBegin(2201*ms, tcp.TimeWait), v.state(2201*ms, tcp.Closing, tcp.Close),
		c.timeWaitEnd(63*s, tcp.TimeWait, event.CauseExpired),
		v.timeWaitEnd(63*s, tcp.TimeWait, event.CauseExpired),
	)
}

// A listener has transitions and no end of a connection.
func TestTracker_Listener(t *testing.T) {
	l := socket{id: event.ID{NetNS: 1, Cookie: 0x1}, local: serverAddr}
	story(t, `
		1s server/1:80 CLOSE>LISTEN ? by nginx
		9s server/1:80 LISTEN>CLOSE 8s by nginx`,
		by("nginx", l.state(1*s, tcp.Close, tcp.Listen)),
		by("nginx", l.state(9*s, tcp.Listen, tcp.Close)),
	)
	story(t, `1s server/1:80 CLOSE>LISTEN ?`, l.state(1*s, tcp.Close, tcp.Listen))
}

func TestTracker_ListenerIsCountedAndOwned(t *testing.T) {
	l := socket{id: event.ID{NetNS: 1, Cookie: 0x1}, local: serverAddr}
	l.remote = netip.MustParseAddrPort("0.0.0.0:0") // as some sources may say it
	tr := New(Options{})
	tell(tr, events(by("nginx", l.state(1*s, tcp.Close, tcp.Listen))))
	var seen []string
	for c := range tr.Open {
		if !c.Listener() || c.Owner.Via != ViaListen || comm(&c.Owner.Task) != "nginx" {
			t.Errorf("listener %v, owner %q via %q", c.Listener(), comm(&c.Owner.Task), c.Owner.Via)
		}
		seen = append(seen, name(c))
	}
	if len(seen) != 1 {
		t.Errorf("open: %v", seen)
	}
	if got := tr.Stats().States[tcp.Listen]; got != 1 {
		t.Errorf("%d listeners counted, want 1", got)
	}
	tell(tr, events(l.state(2*s, tcp.Listen, tcp.Close)))
	if st := tr.Stats(); st.Live != 0 || st.States != [tcp.NumStates]int{} {
		t.Errorf("after its end: %d live, states %v", st.Live, st.States)
	}
}

// connect() again on the same socket, after the first attempt failed: the same
// cookie, another connection.
func TestTracker_SameSocketConnectsAgain(t *testing.T) {
	c := aClient
	tr := story(t, `
		1s client/c1:4000 CLOSE>SYN_SENT ?
		1.001s client/c1:4000 reset received in SYN_SENT
		1.001001s client/c1:4000 SYN_SENT>CLOSE 1.001ms
		1.001001s client/c1:4000 ended refused errno=111 SYN_SENT=1.001ms
		2s client/c1:4000 CLOSE>SYN_SENT ?
		2.001s client/c1:4000 SYN_SENT>ESTABLISHED 1ms
		16m40s client/c1:4000 ended open SYN_SENT=1ms ESTABLISHED=...`,
		c.state(1*s, tcp.Close, tcp.SynSent), c.bound(1*s+1*us),
		c.resetReceived(1001*ms, tcp.SynSent),
		failing(111, c.state(1001*ms+1*us, tcp.SynSent, tcp.Close)),
		c.connected(2*s),
	)
	if n := tr.Stats().Reborn; n != 0 {
		t.Errorf("%d reborn, want 0: the death was seen", n)
	}
}

// A birth while alive is a lost death.
func TestTracker_BirthWhileAlive(t *testing.T) {
	c := aClient
	tr := story(t, `
		1s client/c1:4000 CLOSE>SYN_SENT ?
		1.001s client/c1:4000 SYN_SENT>ESTABLISHED 1ms
		5s client/c1:4000 ended incomplete SYN_SENT=1ms ESTABLISHED=3.999s~
		5s client/c1:4000 CLOSE>SYN_SENT ?
		5.001s client/c1:4000 SYN_SENT>ESTABLISHED 1ms
		16m40s client/c1:4000 ended open SYN_SENT=1ms ESTABLISHED=...`,
		c.connected(1*s), c.connected(5*s),
	)
	if n := tr.Stats().Reborn; n != 1 {
		t.Errorf("%d reborn, want 1", n)
	}
}

package conn

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Sockets older than the trace are known from its begin, with their owners.
func TestTracker_SeededAtStart(t *testing.T) {
	c := aClient
	l := socket{id: event.ID{NetNS: 1, Cookie: 0x1}, local: serverAddr}
	tr := New(Options{})
	expect(t, tell(tr, events(
		by("nginx", l.seen(1*s, tcp.Listen)),
		by("curl", c.seen(1*s+1*us, tcp.Established)),
		swept(1*s, 1*s+9*us),
	)), `
		1s server/1:80 found in LISTEN
		1.000001s unknown/c1:4000 found in ESTABLISHED`)
	if st := tr.Stats(); st.Live != 2 || st.States[tcp.Listen] != 1 || st.States[tcp.Established] != 1 {
		t.Errorf("seeded: %+v", st)
	}
	expect(t, tell(tr, events(
		c.state(5*s, tcp.Established, tcp.CloseWait),
		l.state(6*s, tcp.Listen, tcp.Close),
	)), `
		5s unknown/c1:4000 ESTABLISHED>CLOSE_WAIT >=3.999999s
		6s server/1:80 LISTEN>CLOSE >=5s`)
	expect(t, finish(tr, 7*s), `
		7s unknown/c1:4000 ended open incomplete begin-unknown owner=curl/snapshot ESTABLISHED=~3.999999s CLOSE_WAIT=...`)
}

// A timewait socket's remaining time tells since when it was one at least.
func TestTracker_SeededTimeWait(t *testing.T) {
	c := aClient
	story(t, `
		1m10s unknown/c1:4000 found in TIME_WAIT
		1m20s unknown/c1:4000 TIME_WAIT>CLOSE >=1m0s expired
		1m20s unknown/c1:4000 ended fin incomplete begin-unknown TIME_WAIT=~1m0s`,
		withLeft(10*s, c.seen(70*s, tcp.TimeWait)),
		c.timeWaitEnd(80*s, tcp.TimeWait, event.CauseExpired))
	story(t, `
		1m10s unknown/c1:4000 found in FIN_WAIT2
		1m11s unknown/c1:4000 FIN_WAIT2>TIME_WAIT >=1s
		1m20s unknown/c1:4000 TIME_WAIT>CLOSE 9s reused
		1m20s unknown/c1:4000 ended fin incomplete begin-unknown FIN_WAIT2=~1s TIME_WAIT=9s`,
		withLeft(10*s, c.seen(70*s, tcp.FinWait2)),
		c.timeWaitFin(71*s),
		c.timeWaitEnd(80*s, tcp.TimeWait, event.CauseReused))
}

// What a sweep sees of connections that are known changes nothing.
func TestTracker_SweepAgrees(t *testing.T) {
	c, v := aClient, aServer
	tr := story(t, connectedTold+`
		2s server/51:80 LISTEN>SYN_RECV ?
		9s server/51:80 SYN_RECV>ESTABLISHED 7s
		16m40s client/c1:4000 ended open SYN_SENT=1ms ESTABLISHED=...
		16m40s server/51:80 ended open SYN_RECV=7s ESTABLISHED=...`,
		c.connected(1*s), v.requestNoCookie(2*s),
		c.seen(3*s, tcp.Established),
		v.seen(3*s, tcp.SynRecv), // which makes a cookie for it
		swept(3*s, 4*s),
		v.state(9*s, tcp.SynRecv, tcp.Established))
	if st := tr.Stats(); st.Corrected+st.Vanished+st.Stray != 0 {
		t.Errorf("%+v", st)
	}
}

func TestTracker_SweepFindsTheOwner(t *testing.T) {
	c := aServer
	story(t, `
		1s server/51:80 LISTEN>SYN_RECV ?
		1.001s server/51:80 SYN_RECV>ESTABLISHED 1ms
		3s server/51:80 owned snapshot by worker
		16m40s server/51:80 ended open owner=worker/snapshot SYN_RECV=1ms ESTABLISHED=...`,
		c.accepted(1*s),
		by("worker", c.seen(3*s, tcp.Established)),
		by("other", c.seen(60*s, tcp.Established)))
}

// Events were lost: the sweep puts the state right, and says so.
func TestTracker_SweepCorrects(t *testing.T) {
	c := aClient
	tr := story(t, connectedTold+`
		1m0s client/c1:4000 corrected ESTABLISHED>CLOSE_WAIT
		1m30s client/c1:4000 CLOSE_WAIT>LAST_ACK >=30s
		1m30.001s client/c1:4000 LAST_ACK>CLOSE 1ms
		1m30.001s client/c1:4000 ended fin incomplete SYN_SENT=1ms ESTABLISHED=58.999s~ CLOSE_WAIT=~30s LAST_ACK=1ms`,
		c.connected(1*s),
		c.seen(60*s, tcp.CloseWait),
		swept(60*s, 61*s),
		c.state(90*s, tcp.CloseWait, tcp.LastAck),
		c.state(90*s+1*ms, tcp.LastAck, tcp.Close))
	if st := tr.Stats(); st.Corrected != 1 || st.Missing != 0 {
		t.Errorf("%d corrected, %d missing; want 1, 0", st.Corrected, st.Missing)
	}
}

// The timewait socket's begin was lost, its remaining time tells when it was.
func TestTracker_SweepCorrectsTimeWait(t *testing.T) {
	c := aClient
	story(t, inFinWait2Told+`
		30s client/c1:4000 corrected FIN_WAIT2>TIME_WAIT
		1m3s client/c1:4000 TIME_WAIT>CLOSE >=1m0.5s expired
		1m3s client/c1:4000 ended fin incomplete owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=499ms~ TIME_WAIT=~1m0.5s`,
		inFinWait2(c),
		withLeft(32500*ms, c.seen(30*s, tcp.TimeWait)),
		c.timeWaitEnd(63*s, tcp.TimeWait, event.CauseExpired))
}

// A socket that changes its state as the sweep passes may be seen in either.
func TestTracker_SweepDuringAChange(t *testing.T) {
	c := aClient
	tr := story(t, connectedTold+`
		2s client/c1:4000 ESTABLISHED>CLOSE_WAIT 999ms
		3s client/c1:4000 CLOSE_WAIT>LAST_ACK 1s
		3.1s client/c1:4000 LAST_ACK>CLOSE 100ms
		3.1s client/c1:4000 ended fin SYN_SENT=1ms ESTABLISHED=999ms CLOSE_WAIT=1s LAST_ACK=100ms`,
		c.connected(1*s),
		c.state(2*s, tcp.Established, tcp.CloseWait),
		c.seen(2*s+3*us, tcp.Established),
		c.state(3*s, tcp.CloseWait, tcp.LastAck),
		c.state(3100*ms, tcp.LastAck, tcp.Close),
		c.seen(3100*ms+2*us, tcp.LastAck),
		swept(2*s, 4*s))
	if st := tr.Stats(); st.Corrected != 0 || st.Live != 0 {
		t.Errorf("%d corrected, %d live", st.Corrected, st.Live)
	}
}

// Missed once it may have moved in the tables; missed twice it is gone, since
// before the first of the two.
func TestTracker_SweptTwiceIsGone(t *testing.T) {
	c := aClient
	tr := New(Options{})
	tell(tr, events(c.connected(1*s)))
	expect(t, tell(tr, events(swept(60*s, 61*s))), "")
	expect(t, tell(tr, events(swept(120*s, 121*s))), `
		1m1s client/c1:4000 ended incomplete SYN_SENT=1ms ESTABLISHED=59.999s~`)
	if st := tr.Stats(); st.Vanished != 1 || st.Live != 0 {
		t.Errorf("%d vanished, %d live; want 1, 0", st.Vanished, st.Live)
	}
}

func TestTracker_SweptOnceIsNot(t *testing.T) {
	c := aClient
	elsewhere := numbered(2)
	elsewhere.id.NetNS = 2
	tr := New(Options{})
	tell(tr, events(c.connected(1*s), elsewhere.connected(2*s)))
	for i := range 10 { // found every other time
		at := time.Duration(60*(i+1)) * s
		if i%2 == 0 {
			tell(tr, events(c.seen(at, tcp.Established)))
		}
		expect(t, tell(tr, events(swept(at, at+1*s))), "")
	}
	// One that begins, or changes its state, during the sweep may be missed.
	young := numbered(3)
	tell(tr, events(young.connected(661*s)))
	for range 3 {
		expect(t, tell(tr, events(c.seen(661*s, tcp.Established), swept(660*s, 662*s))), "")
	}
	if st := tr.Stats(); st.Live != 3 || st.Vanished != 0 {
		t.Errorf("%d live, %d vanished; want 3, 0", st.Live, st.Vanished)
	}
}

// A request socket, not even told of yet, of which nothing is left.
func TestTracker_SweptRequest(t *testing.T) {
	tr := New(Options{})
	tell(tr, events(aServer.requestNoCookie(1*s)))
	expect(t, tell(tr, events(swept(60*s, 61*s), swept(120*s, 121*s))), `
		1s server/0:80 LISTEN>SYN_RECV ?
		1m1s server/0:80 ended incomplete SYN_RECV=1m0s~`)
}

func TestTracker_SeenInNoState(t *testing.T) {
	tr := New(Options{})
	tell(tr, events(aClient.seen(1*s, tcp.Close), aClient.seen(1*s, tcp.Unknown)))
	if st := tr.Stats(); st.Stray != 2 || st.Live != 0 {
		t.Errorf("%d stray, %d live; want 2, 0", st.Stray, st.Live)
	}
}

// Of a connection that is older than the trace, its listener says which side
// it is. No listener says nothing.
func TestTracker_SeededBesideItsListener(t *testing.T) {
	v, c := aServer, aClient
	elsewhere := v
	elsewhere.id.NetNS = 2
	l := socket{id: event.ID{NetNS: 1, Cookie: 0x1}, local: netip.MustParseAddrPort("[::]:80")}
	tr := New(Options{})
	expect(t, tell(tr, events(
		l.seen(1*s, tcp.Listen), v.seen(2*s, tcp.Established), c.seen(2*s, tcp.Established), elsewhere.seen(2*s, tcp.Established),
		l.state(3*s, tcp.Listen, tcp.Close), numbered(1).seen(4*s, tcp.Established),
	)), `
		1s server/1:80 found in LISTEN
		2s server/51:80 found in ESTABLISHED
		2s unknown/c1:4000 found in ESTABLISHED
		2s unknown/51:80 found in ESTABLISHED
		3s server/1:80 LISTEN>CLOSE >=2s
		4s unknown/101:4000 found in ESTABLISHED`)
	if n := len(tr.listeners); n != 0 {
		t.Errorf("%d ports listened on, want 0", n)
	}
}

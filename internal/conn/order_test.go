package conn

import (
	"testing"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// First known in the middle of its life.
func TestTracker_OlderThanTrace(t *testing.T) {
	c := aClient
	tr := story(t, `
		2s unknown/c1:4000 ESTABLISHED>FIN_WAIT1 ? by curl
		2.001s unknown/c1:4000 FIN_WAIT1>FIN_WAIT2 1ms
		2.002s unknown/c1:4000 FIN_WAIT2>TIME_WAIT 1ms
		1m3s unknown/c1:4000 TIME_WAIT>CLOSE 1m0.998s expired
		1m3s unknown/c1:4000 ended fin incomplete begin-unknown owner=curl/close closer=curl/close ESTABLISHED=~0s FIN_WAIT1=1ms FIN_WAIT2=1ms TIME_WAIT=1m0.998s`,
		by("curl", c.state(2*s, tcp.Established, tcp.FinWait1)),
		c.state(2*s+1*ms, tcp.FinWait1, tcp.FinWait2),
		c.timeWaitBegin(2*s+2*ms, tcp.TimeWait),
		c.state(2*s+2*ms, tcp.FinWait2, tcp.Close),
		c.timeWaitEnd(63*s, tcp.TimeWait, event.CauseExpired),
	)
	if st := tr.Stats(); st.Illegal != 0 || st.Missing != 0 || st.Late != 0 {
		t.Errorf("counted as a fault: %+v", st)
	}
}

// A retransmit makes it known; then "at least" is known of ESTABLISHED.
func TestTracker_OlderThanTrace_AtLeast(t *testing.T) {
	c := aClient
	story(t, `
		2s unknown/c1:4000 retransmitted fast
		5s unknown/c1:4000 ESTABLISHED>CLOSE_WAIT >=3s
		8.8s unknown/c1:4000 episode recovered >=0s fast
		16m40s unknown/c1:4000 ended open incomplete begin-unknown ESTABLISHED=~3s CLOSE_WAIT=...`,
		c.retransmit(2*s, tcp.Established, event.Retransmission{CAState: 3, Sacked: 4}),
		c.state(5*s, tcp.Established, tcp.CloseWait))
}

func TestTracker_OlderThanTrace_TimeWaitEnds(t *testing.T) {
	c := aClient
	story(t, `
		2s unknown/c1:4000 TIME_WAIT>CLOSE ? expired
		2s unknown/c1:4000 ended fin incomplete begin-unknown TIME_WAIT=~0s`,
		c.timeWaitEnd(2*s, tcp.TimeWait, event.CauseExpired))
}

// First known by its timewait socket: the full socket's CLOSE, a moment later,
// says that it is new and what came before.
func TestTracker_OlderThanTrace_TimeWaitBegins(t *testing.T) {
	c := aClient
	story(t, `
		2s unknown/c1:4000 CLOSING>TIME_WAIT ?
		1m3s unknown/c1:4000 TIME_WAIT>CLOSE 1m1s expired
		1m3s unknown/c1:4000 ended fin incomplete begin-unknown sent=5 TIME_WAIT=1m1s`,
		c.timeWaitBegin(2*s, tcp.TimeWait),
		c.totals(2*s+5*us, 5),
		c.state(2*s+5*us, tcp.Closing, tcp.Close),
		c.timeWaitEnd(63*s, tcp.TimeWait, event.CauseExpired))
	story(t, `
		1m3s unknown/c1:4000 TIME_WAIT>CLOSE >=1m1s expired
		1m3s unknown/c1:4000 ended fin incomplete begin-unknown TIME_WAIT=~1m1s`,
		c.timeWaitBegin(2*s, tcp.TimeWait), // set again: its begin is older
		c.timeWaitEnd(63*s, tcp.TimeWait, event.CauseExpired))
}

// Its counters are the first that is heard of it, its CLOSE the last.
func TestTracker_OlderThanTrace_TotalsFirst(t *testing.T) {
	c := aClient
	story(t, `
		2s unknown/c1:0 LAST_ACK>CLOSE ?
		2s unknown/c1:0 ended fin incomplete begin-unknown sent=9 LAST_ACK=~0s`,
		aServer.totals(1*s, 1), // of another
		c.totals(2*s, 9),
		c.state(2*s, tcp.LastAck, tcp.Close))
}

// A transition is missing: the event is right, none is invented.
func TestTracker_MissingTransition(t *testing.T) {
	c := aClient
	tr := story(t, connectedTold+`
		3s client/c1:4000 CLOSE_WAIT>LAST_ACK ?
		3.001s client/c1:4000 LAST_ACK>CLOSE 1ms
		3.001s client/c1:4000 ended fin incomplete SYN_SENT=1ms ESTABLISHED=1.999s~ CLOSE_WAIT=~0s LAST_ACK=1ms`,
		c.connected(1*s),
		c.state(3*s, tcp.CloseWait, tcp.LastAck),
		c.state(3*s+1*ms, tcp.LastAck, tcp.Close))
	if st := tr.Stats(); st.Missing != 1 || st.Illegal != 0 {
		t.Errorf("%d missing, %d illegal; want 1, 0", st.Missing, st.Illegal)
	}
}

func TestTracker_IllegalTransition(t *testing.T) {
	c := aClient
	tr := story(t, connectedTold+`
		3s client/c1:4000 ESTABLISHED>LAST_ACK 1.999s illegal
		3.001s client/c1:4000 LAST_ACK>CLOSE 1ms
		3.001s client/c1:4000 ended fin incomplete SYN_SENT=1ms ESTABLISHED=1.999s LAST_ACK=1ms`,
		c.connected(1*s),
		c.state(3*s, tcp.Established, tcp.LastAck),
		c.state(3*s+1*ms, tcp.LastAck, tcp.Close))
	if n := tr.Stats().Illegal; n != 1 {
		t.Errorf("%d illegal, want 1", n)
	}
}

// FIN_WAIT1 -> FIN_WAIT2 was lost; the timewait socket shows where we are.
func TestTracker_TimeWaitBeginsOutOfFinWait1(t *testing.T) {
	c := aClient
	story(t, connectedTold+`
		2s client/c1:4000 ESTABLISHED>FIN_WAIT1 999ms
		5s client/c1:4000 FIN_WAIT2>CLOSE >=2.9s expired
		5s client/c1:4000 ended fin_wait2_timeout incomplete SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=100ms~ FIN_WAIT2=~2.9s`,
		c.connected(1*s),
		c.state(2*s, tcp.Established, tcp.FinWait1),
		c.timeWaitBegin(2100*ms, tcp.FinWait2),
		c.state(2100*ms, tcp.FinWait2, tcp.Close),
		c.timeWaitEnd(5*s, tcp.FinWait2, event.CauseExpired))
	story(t, connectedTold+`
		2s client/c1:4000 ESTABLISHED>FIN_WAIT1 999ms
		2.1s client/c1:4000 FIN_WAIT1>TIME_WAIT 100ms illegal
		16m40s client/c1:4000 ended open incomplete SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=100ms TIME_WAIT=...`,
		c.connected(1*s),
		c.state(2*s, tcp.Established, tcp.FinWait1),
		c.timeWaitBegin(2100*ms, tcp.TimeWait),
		c.state(2100*ms, tcp.FinWait2, tcp.Close))
}

// Two events of one connection from two CPUs, the later one first: told in the
// order in which they came, with their true times, and nothing is lost.
func TestTracker_TwoTransitionsSwapped(t *testing.T) {
	c := aClient
	tr := story(t, connectedTold+`
		3.000002s client/c1:4000 FIN_WAIT1>FIN_WAIT2 ?
		3s client/c1:4000 ESTABLISHED>FIN_WAIT1 1.999s by curl
		16m40s client/c1:4000 ended open owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=1.999s FIN_WAIT1=2µs FIN_WAIT2=...`,
		c.connected(1*s),
		c.state(3*s+2*us, tcp.FinWait1, tcp.FinWait2),
		by("curl", c.state(3*s, tcp.Established, tcp.FinWait1)))
	if st := tr.Stats(); st.Late != 1 || st.Missing != 1 {
		t.Errorf("%d late, %d missing; want 1, 1", st.Late, st.Missing)
	}
}

func TestTracker_BirthComesSecond(t *testing.T) {
	c := aClient
	story(t, `
		1.00002s client/c1:4000 SYN_SENT>ESTABLISHED ?
		1s client/c1:4000 CLOSE>SYN_SENT ? by curl
		16m40s client/c1:4000 ended open owner=curl/connect SYN_SENT=20µs ESTABLISHED=...`,
		c.state(1*s+20*us, tcp.SynSent, tcp.Established),
		by("curl", c.state(1*s, tcp.Close, tcp.SynSent)))
	story(t, `
		1s client/c1:4000 CLOSE>SYN_SENT ?
		1.1s client/c1:4000 SYN_SENT>ESTABLISHED 100ms
		16m40s client/c1:4000 ended open SYN_SENT=100ms ESTABLISHED=...`,
		c.bound(1*s+1*us),
		c.state(1*s, tcp.Close, tcp.SynSent),
		c.state(1100*ms, tcp.SynSent, tcp.Established))
	v := aServer
	story(t, `
		1.001s server/51:80 SYN_RECV>ESTABLISHED ?
		1s server/51:80 LISTEN>SYN_RECV ?
		16m40s server/51:80 ended open SYN_RECV=1ms ESTABLISHED=...`,
		v.state(1*s+1*ms, tcp.SynRecv, tcp.Established),
		v.request(1*s))
}

// The end came before what led to it: it stands, and what comes after it with
// an older time makes no new connection.
func TestTracker_EndComesFirst(t *testing.T) {
	c := aServer
	tr := story(t, `
		1s server/51:80 LISTEN>SYN_RECV ?
		1.001s server/51:80 SYN_RECV>ESTABLISHED 1ms
		2s server/51:80 ESTABLISHED>CLOSE_WAIT 999ms
		3.0001s server/51:80 LAST_ACK>CLOSE ?
		3.0001s server/51:80 ended fin incomplete SYN_RECV=1ms ESTABLISHED=999ms CLOSE_WAIT=1.0001s~ LAST_ACK=~0s
		3s server/51:80 CLOSE_WAIT>LAST_ACK ?`,
		c.accepted(1*s),
		c.state(2*s, tcp.Established, tcp.CloseWait),
		c.state(3*s+100*us, tcp.LastAck, tcp.Close),
		c.state(3*s, tcp.CloseWait, tcp.LastAck),
		c.totals(3*s+100*us, 1))
	if n := tr.Stats().Late; n != 2 {
		t.Errorf("%d late, want 2", n)
	}
}

// The FIN's hook is ahead of the one that tells of the timewait socket.
func TestTracker_TimeWaitFinBeforeTimeWaitBegin(t *testing.T) {
	c := aClient
	story(t, inFinWait2Told+`
		2.001003s client/c1:4000 FIN_WAIT2>TIME_WAIT 3µs
		1m3s client/c1:4000 TIME_WAIT>CLOSE 1m0.998997s expired
		1m3s client/c1:4000 ended fin owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=3µs TIME_WAIT=1m0.998997s`,
		inFinWait2(c),
		c.timeWaitFin(2*s+1*ms+3*us),
		c.timeWaitBegin(2*s+1*ms+1*us, tcp.FinWait2),
		c.state(2*s+1*ms+2*us, tcp.FinWait2, tcp.Close),
		c.timeWaitEnd(63*s, tcp.TimeWait, event.CauseExpired))
}

// The full socket's CLOSE is ahead of the timewait socket's begin: it looks
// like an overflow for a moment, and is none.
func TestTracker_CloseBeforeTimeWaitBegin(t *testing.T) {
	c := aClient
	tr := story(t, inFinWait2Told+`
		2.002s client/c1:4000 FIN_WAIT2>TIME_WAIT 1ms
		1m3s client/c1:4000 TIME_WAIT>CLOSE 1m0.998s expired
		1m3s client/c1:4000 ended fin owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=1ms TIME_WAIT=1m0.998s`,
		inFinWait2(c),
		c.state(2*s+2*ms+3*us, tcp.FinWait2, tcp.Close),
		c.timeWaitBegin(2*s+2*ms, tcp.TimeWait),
		c.timeWaitEnd(63*s, tcp.TimeWait, event.CauseExpired))
	if st := tr.Stats(); st.Late != 0 || st.Missing != 0 {
		t.Errorf("%d late, %d missing", st.Late, st.Missing)
	}
}

// The timewait socket's end is reported twice (its timer was cancelled as it
// ran out).
func TestTracker_TimeWaitEndsTwice(t *testing.T) {
	c := aClient
	story(t, orphanTold+`
		5s client/c1:4000 FIN_WAIT2>CLOSE 2.999s expired
		5s client/c1:4000 ended fin_wait2_timeout owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=2.999s`,
		orphan(c),
		c.timeWaitEnd(5*s, tcp.FinWait2, event.CauseExpired),
		c.timeWaitEnd(5*s+1*ms, tcp.FinWait2, event.CauseKilled))
}

// Clocks of two CPUs differ by a little: a stay is never negative.
func TestTracker_NegativeStayIsNone(t *testing.T) {
	c := aClient
	story(t, `
		1s client/c1:4000 CLOSE>SYN_SENT ?
		999.999ms client/c1:4000 SYN_SENT>ESTABLISHED 0s
		16m40s client/c1:4000 ended open SYN_SENT=0s ESTABLISHED=...`,
		c.state(1*s, tcp.Close, tcp.SynSent),
		c.state(1*s-1*us, tcp.SynSent, tcp.Established))
}

// The death of the life before arrives after the birth of the next.
func TestTracker_DeathAfterRebirth(t *testing.T) {
	c := aClient
	tr := story(t, connectedTold+`
		5s client/c1:4000 ended incomplete SYN_SENT=1ms ESTABLISHED=3.999s~
		5s client/c1:4000 CLOSE>SYN_SENT ?
		16m40s client/c1:4000 ended open SYN_SENT=...`,
		c.connected(1*s),
		portKnown(c, c.state(5*s, tcp.Close, tcp.SynSent)),
		c.state(4*s, tcp.SynSent, tcp.Close))
	if n := tr.Stats().Late; n != 1 {
		t.Errorf("%d late, want 1", n)
	}
}

// LISTEN -> SYN_RECV is reported from the clone of the listener, which may
// still carry the listener's cookie: it must not touch the listener.
func TestTracker_CloneOfListener(t *testing.T) {
	l := socket{id: event.ID{NetNS: 1, Cookie: 0x1}, local: serverAddr}
	story(t, `
		1s server/1:80 CLOSE>LISTEN ?
		3s server/1:80 LISTEN>CLOSE 2s`,
		l.state(1*s, tcp.Close, tcp.Listen),
		l.state(2*s, tcp.Listen, tcp.SynRecv),
		l.state(3*s, tcp.Listen, tcp.Close))
}

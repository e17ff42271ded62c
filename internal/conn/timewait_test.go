package conn

import (
	"testing"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// inFinWait2 is a client that closed at 2 s and whose FIN was acknowledged.
func inFinWait2(c socket) []*event.Event {
	return events(
		c.connected(1*s),
		by("curl", c.state(2*s, tcp.Established, tcp.FinWait1)),
		c.state(2*s+1*ms, tcp.FinWait1, tcp.FinWait2),
	)
}

const inFinWait2Told = `
	1s client/c1:4000 CLOSE>SYN_SENT ?
	1.001s client/c1:4000 SYN_SENT>ESTABLISHED 1ms
	2s client/c1:4000 ESTABLISHED>FIN_WAIT1 999ms by curl
	2.001s client/c1:4000 FIN_WAIT1>FIN_WAIT2 1ms
`

const orphanTold = inFinWait2Told + `
	2.001s client/c1:4000 orphaned
`

// orphan is the timewait socket made at once for a closed socket in FIN_WAIT2.
func orphan(c socket) []*event.Event {
	return events(inFinWait2(c), c.timeWaitBegin(2*s+1*ms, tcp.FinWait2), c.state(2*s+1*ms, tcp.FinWait2, tcp.Close))
}

func TestTracker_TimeWaitEnds(t *testing.T) {
	for _, cause := range []event.Cause{
		event.CauseExpired, event.CauseReused, event.CauseReset, event.CauseNetnsExit, event.CauseKilled,
	} {
		t.Run(cause.String(), func(t *testing.T) {
			c := aClient
			story(t, inFinWait2Told+`
				2.002s client/c1:4000 FIN_WAIT2>TIME_WAIT 1ms
				7s client/c1:4000 TIME_WAIT>CLOSE 4.998s `+cause.String()+`
				7s client/c1:4000 ended fin owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=1ms TIME_WAIT=4.998s`,
				inFinWait2(c),
				c.timeWaitBegin(2*s+2*ms, tcp.TimeWait),
				c.state(2*s+2*ms, tcp.FinWait2, tcp.Close),
				c.timeWaitEnd(7*s, tcp.TimeWait, cause),
			)
		})
	}
}

// tcp_max_tw_buckets is reached: FIN_WAIT2 -> CLOSE without a timewait socket.
// The next event of anything a moment later settles that no RST follows.
func TestTracker_TimeWaitOverflow(t *testing.T) {
	c, other := aClient, aServer
	story(t, inFinWait2Told+`
		2.002s client/c1:4000 FIN_WAIT2>CLOSE 1ms overflow
		2.002s client/c1:4000 ended overflow sent=5 owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=1ms
		3s server/51:80 LISTEN>SYN_RECV ?
		16m40s server/51:80 ended open SYN_RECV=...`,
		inFinWait2(c),
		c.totals(2*s+2*ms, 5),
		c.state(2*s+2*ms, tcp.FinWait2, tcp.Close),
		other.request(3*s),
	)
}

func TestTracker_TimeWaitOverflow_Closing(t *testing.T) {
	c := aServer
	story(t, `
		1s server/51:80 LISTEN>SYN_RECV ?
		1.001s server/51:80 SYN_RECV>ESTABLISHED 1ms
		2s server/51:80 ESTABLISHED>FIN_WAIT1 999ms
		2.001s server/51:80 FIN_WAIT1>CLOSING 1ms
		2.002s server/51:80 CLOSING>CLOSE 1ms overflow
		2.002s server/51:80 ended overflow SYN_RECV=1ms ESTABLISHED=999ms FIN_WAIT1=1ms CLOSING=1ms`,
		c.accepted(1*s),
		c.state(2*s, tcp.Established, tcp.FinWait1),
		c.state(2*s+1*ms, tcp.FinWait1, tcp.Closing),
		c.state(2*s+2*ms, tcp.Closing, tcp.Close),
	)
}

// A kernel side that knows the cause says it, and nothing waits.
func TestTracker_TimeWaitOverflow_Told(t *testing.T) {
	c := aClient
	told := c.state(2*s+2*ms, tcp.FinWait2, tcp.Close)
	told.Cause = event.CauseOverflow
	tr := New(Options{})
	expect(t, tell(tr, events(inFinWait2(c), told)), inFinWait2Told+`
		2.002s client/c1:4000 FIN_WAIT2>CLOSE 1ms overflow
		2.002s client/c1:4000 ended overflow owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=1ms`)
}

// What looks like an overflow within a loss window may be a lost TimeWaitBegin.
func TestTracker_TimeWaitOverflow_NotClaimedInALoss(t *testing.T) {
	c := aClient
	story(t, inFinWait2Told+`
		2.5s - lost 3
		2.002s client/c1:4000 FIN_WAIT2>CLOSE 1ms
		2.002s client/c1:4000 ended incomplete owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=1ms`,
		inFinWait2(c),
		lost(3, 1500*ms, 2500*ms),
		c.state(2*s+2*ms, tcp.FinWait2, tcp.Close),
	)
}

// A quiet host: Advance settles what no event does.
func TestTracker_AdvanceSettles(t *testing.T) {
	c := aClient
	tr := New(Options{})
	tell(tr, events(inFinWait2(c), c.state(2*s+2*ms, tcp.FinWait2, tcp.Close)))
	var lines []string
	emit := func(ch *Change) { lines = append(lines, line(ch)) }
	over := event.Time(2*s+2*ms) + patience
	tr.Advance(over, emit)
	if len(lines) != 0 {
		t.Errorf("settled too early: %q", lines)
	}
	tr.Advance(over+1, emit)
	expect(t, lines, `
		2.002s client/c1:4000 FIN_WAIT2>CLOSE 1ms overflow
		2.002s client/c1:4000 ended overflow owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=1ms`)
}

func TestTracker_OrphanFinWait2_PeerCloses(t *testing.T) {
	c := aClient
	story(t, orphanTold+`
		5s client/c1:4000 FIN_WAIT2>TIME_WAIT 2.999s
		1m6s client/c1:4000 TIME_WAIT>CLOSE 1m1s expired
		1m6s client/c1:4000 ended fin owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=2.999s TIME_WAIT=1m1s`,
		orphan(c),
		c.timeWaitFin(5*s),
		c.timeWaitFin(6*s), // sent again
		c.timeWaitEnd(66*s, tcp.TimeWait, event.CauseExpired),
	)
}

// Where no hook sees the FIN, the timer that it sets again tells of it.
func TestTracker_OrphanFinWait2_PeerCloses_TimerTells(t *testing.T) {
	c := aClient
	story(t, orphanTold+`
		5s client/c1:4000 FIN_WAIT2>TIME_WAIT 2.999s
		1m6s client/c1:4000 TIME_WAIT>CLOSE 1m1s expired
		1m6s client/c1:4000 ended fin owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=2.999s TIME_WAIT=1m1s`,
		orphan(c),
		c.timeWaitBegin(5*s, tcp.TimeWait),
		c.timeWaitFin(5*s+1*us), // the slower hook says it too
		c.timeWaitEnd(66*s, tcp.TimeWait, event.CauseExpired),
	)
}

// Neither hook saw it: the end tells that there was a FIN, not when.
func TestTracker_OrphanFinWait2_FinUnseen(t *testing.T) {
	c := aClient
	story(t, orphanTold+`
		1m6s client/c1:4000 FIN_WAIT2>TIME_WAIT ?
		1m6s client/c1:4000 TIME_WAIT>CLOSE ? expired
		1m6s client/c1:4000 ended fin owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=1m3.999s~ TIME_WAIT=~0s`,
		orphan(c),
		c.timeWaitEnd(66*s, tcp.TimeWait, event.CauseExpired),
	)
}

func TestTracker_OrphanFinWait2_Expires(t *testing.T) {
	c := aClient
	story(t, orphanTold+`
		5s client/c1:4000 FIN_WAIT2>CLOSE 2.999s expired
		5s client/c1:4000 ended fin_wait2_timeout owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=2.999s`,
		orphan(c),
		c.timeWaitEnd(5*s, tcp.FinWait2, event.CauseExpired),
	)
}

func TestTracker_OrphanFinWait2_PeerResets(t *testing.T) {
	c := aClient
	story(t, orphanTold+`
		5s client/c1:4000 FIN_WAIT2>CLOSE 2.999s reset
		5s client/c1:4000 ended reset_received owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=2.999s`,
		orphan(c),
		c.timeWaitEnd(5*s, tcp.FinWait2, event.CauseReset),
	)
}

// Data for a closed socket: we send the RST.
func TestTracker_OrphanFinWait2_DataArrives(t *testing.T) {
	c := aClient
	story(t, orphanTold+`
		5s client/c1:4000 reset sent in FIN_WAIT2
		5s client/c1:4000 FIN_WAIT2>CLOSE 2.999s reset
		5s client/c1:4000 ended reset_sent owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=2.999s`,
		orphan(c),
		c.resetSent(5*s, tcp.FinWait2),
		c.timeWaitEnd(5*s, tcp.FinWait2, event.CauseReset),
	)
}

// The same where no stack tells why the timewait socket ended: the RST does.
func TestTracker_OrphanFinWait2_DataArrives_CauseUnknown(t *testing.T) {
	c := aClient
	story(t, orphanTold+`
		5s client/c1:4000 reset sent in FIN_WAIT2
		5s client/c1:4000 FIN_WAIT2>CLOSE 2.999s
		5s client/c1:4000 ended reset_sent owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=2.999s`,
		orphan(c),
		c.resetSent(5*s, tcp.FinWait2),
		c.timeWaitEnd(5*s, tcp.FinWait2, event.CauseUnknown),
	)
}

// The timer of a full orphan (tcp_fin_timeout above 60 s) sends a RST first.
func TestTracker_OrphanFinWait2_FullSocketExpires(t *testing.T) {
	c := aClient
	story(t, inFinWait2Told+`
		1m42s client/c1:4000 reset sent in FIN_WAIT2
		1m42s client/c1:4000 FIN_WAIT2>CLOSE 1m39.999s
		1m42s client/c1:4000 ended reset_sent owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=1m39.999s`,
		inFinWait2(c),
		c.resetSent(102*s, tcp.FinWait2),
		c.state(102*s, tcp.FinWait2, tcp.Close),
	)
}

// A packet in TIME_WAIT sets its timer again: the stay goes on.
func TestTracker_TimeWaitSetAgain(t *testing.T) {
	c := aClient
	story(t, inFinWait2Told+`
		2.002s client/c1:4000 FIN_WAIT2>TIME_WAIT 1ms
		1m42s client/c1:4000 TIME_WAIT>CLOSE 1m39.998s expired
		1m42s client/c1:4000 ended fin owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=1ms TIME_WAIT=1m39.998s`,
		inFinWait2(c),
		c.timeWaitBegin(2*s+2*ms, tcp.TimeWait),
		c.state(2*s+2*ms, tcp.FinWait2, tcp.Close),
		c.timeWaitBegin(41*s, tcp.TimeWait),
		c.timeWaitEnd(102*s, tcp.TimeWait, event.CauseExpired),
	)
}

// The reuse by a new connection of the same addresses, which has a cookie of
// its own: the old one's end is seen in the new one's connect().
func TestTracker_TimeWaitReused(t *testing.T) {
	old, fresh := aClient, aClient
	fresh.id.Cookie = 0xc2
	story(t, inFinWait2Told+`
		2.002s client/c1:4000 FIN_WAIT2>TIME_WAIT 1ms
		9.000001s client/c1:4000 TIME_WAIT>CLOSE 6.998001s reused by curl
		9.000001s client/c1:4000 ended fin owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=1ms TIME_WAIT=6.998001s
		9s client/c2:4000 CLOSE>SYN_SENT ?
		16m40s client/c2:4000 ended open SYN_SENT=...`,
		inFinWait2(old),
		old.timeWaitBegin(2*s+2*ms, tcp.TimeWait),
		old.state(2*s+2*ms, tcp.FinWait2, tcp.Close),
		fresh.state(9*s, tcp.Close, tcp.SynSent),
		by("curl", old.timeWaitEnd(9*s+1*us, tcp.TimeWait, event.CauseReused)),
		fresh.bound(9*s+2*us),
	)
}

// shutdown(), then connect() again on the same socket, while its timewait
// socket lives: one cookie for both. The old life's end cannot be told from
// the new one's any more, and the timewait socket's own end is nobody's.
func TestTracker_ReconnectDuringTimeWait(t *testing.T) {
	c := aClient
	tr := story(t, inFinWait2Told+`
		2.002s client/c1:4000 FIN_WAIT2>TIME_WAIT 1ms
		9s client/c1:4000 ended incomplete owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=1ms TIME_WAIT=6.998s~
		9s client/c1:4000 CLOSE>SYN_SENT ?
		9.001s client/c1:4000 SYN_SENT>ESTABLISHED 1ms
		16m40s client/c1:4000 ended open SYN_SENT=1ms ESTABLISHED=...`,
		inFinWait2(c),
		c.timeWaitBegin(2*s+2*ms, tcp.TimeWait),
		c.state(2*s+2*ms, tcp.FinWait2, tcp.Close),
		c.connected(9*s),
		c.timeWaitEnd(63*s, tcp.TimeWait, event.CauseExpired),
	)
	if n := tr.Stats().Stray; n != 1 {
		t.Errorf("%d stray events, want 1", n)
	}
}

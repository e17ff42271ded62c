package conn

import (
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// The task at a transition that a packet caused is a bystander's, or the
// socket's user at best: it makes neither an owner nor a closer.
func TestTracker_OwnerFromNothingElse(t *testing.T) {
	c := aServer
	story(t, `
		1s server/51:80 LISTEN>SYN_RECV ?
		1.001s server/51:80 SYN_RECV>ESTABLISHED 1ms by git
		2s server/51:80 ESTABLISHED>CLOSE_WAIT 999ms by git
		3s server/51:80 reset received in CLOSE_WAIT by git
		3s server/51:80 CLOSE_WAIT>CLOSE 1s by git
		3s server/51:80 ended reset_received errno=32 SYN_RECV=1ms ESTABLISHED=999ms CLOSE_WAIT=1s`,
		by("git", c.request(1*s)),
		by("git", c.state(1*s+1*ms, tcp.SynRecv, tcp.Established)),
		by("git", c.state(2*s, tcp.Established, tcp.CloseWait)),
		by("git", c.resetReceived(3*s, tcp.CloseWait)),
		by("git", failing(32, c.state(3*s, tcp.CloseWait, tcp.Close))),
	)
}

// A client's FIN_WAIT1 -> FIN_WAIT2 and -> CLOSING are its peer's doing, even
// where the client's process handles the packet.
func TestTracker_AckOfFinClosesNothing(t *testing.T) {
	c := aClient
	story(t, connectedTold+`
		2s client/c1:4000 ESTABLISHED>FIN_WAIT1 999ms
		2.1s client/c1:4000 FIN_WAIT1>FIN_WAIT2 100ms by curl
		16m40s client/c1:4000 ended open SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=100ms FIN_WAIT2=...`,
		c.connected(1*s),
		c.state(2*s, tcp.Established, tcp.FinWait1),
		by("curl", c.state(2100*ms, tcp.FinWait1, tcp.FinWait2)),
	)
}

// Opened by one process, closed by another that was handed the descriptor.
func TestTracker_OpenerAndCloserDiffer(t *testing.T) {
	c := aClient
	story(t, `
		1s client/c1:4000 CLOSE>SYN_SENT ? by parent
		2s client/c1:4000 SYN_SENT>ESTABLISHED 1s
		3s client/c1:4000 ESTABLISHED>CLOSE_WAIT 1s
		4s client/c1:4000 CLOSE_WAIT>LAST_ACK 1s by child
		4.1s client/c1:4000 LAST_ACK>CLOSE 100ms by other
		4.1s client/c1:4000 ended fin owner=parent/connect closer=child/close SYN_SENT=1s ESTABLISHED=1s CLOSE_WAIT=1s LAST_ACK=100ms`,
		by("parent", portKnown(c, c.state(1*s, tcp.Close, tcp.SynSent))),
		c.state(2*s, tcp.SynSent, tcp.Established),
		c.state(3*s, tcp.Established, tcp.CloseWait),
		by("child", c.state(4*s, tcp.CloseWait, tcp.LastAck)),
		by("other", c.state(4100*ms, tcp.LastAck, tcp.Close)),
	)
}

// "ss -K" closes what it does not own.
func TestTracker_KilledFromOutside(t *testing.T) {
	c := aServer
	story(t, `
		1s server/51:80 LISTEN>SYN_RECV ?
		1.001s server/51:80 SYN_RECV>ESTABLISHED 1ms
		2s server/51:80 reset sent in ESTABLISHED by ss
		2s server/51:80 ESTABLISHED>CLOSE 999ms by ss
		2s server/51:80 ended aborted errno=103 closer=ss/close SYN_RECV=1ms ESTABLISHED=999ms`,
		c.accepted(1*s),
		by("ss", c.resetSent(2*s, tcp.Established)),
		by("ss", failing(103, c.state(2*s, tcp.Established, tcp.Close))),
	)
}

// A timeout handled while the owner holds the lock has no closer.
func TestTracker_TimeoutHasNoCloser(t *testing.T) {
	c := aClient
	story(t, connectedTold+`
		2s client/c1:4000 retransmitted rto
		9s client/c1:4000 ESTABLISHED>CLOSE 7.999s by curl
		9s client/c1:4000 episode failed 10.5s rto@3500
		9s client/c1:4000 ended timeout errno=110 SYN_SENT=1ms ESTABLISHED=7.999s`,
		c.connected(1*s),
		c.retransmit(2*s, tcp.Established, event.Retransmission{CAState: 4, Retransmits: 1, RTOms: 3500}),
		by("curl", failing(110, c.state(9*s, tcp.Established, tcp.Close))),
	)
}

// A pre-forking server: the child that accepts owns the connection, whoever
// reads first and closes.
func TestTracker_AcceptedBeatsOtherEvidence(t *testing.T) {
	c := aServer
	story(t, `
		1s server/51:80 LISTEN>SYN_RECV ?
		1.001s server/51:80 SYN_RECV>ESTABLISHED 1ms
		1.5s server/51:80 owned io by helper
		2s server/51:80 owned accept by worker
		9s server/51:80 ESTABLISHED>FIN_WAIT1 7.999s by helper
		16m40s server/51:80 ended open owner=worker/accept closer=helper/close SYN_RECV=1ms ESTABLISHED=7.999s FIN_WAIT1=...`,
		c.accepted(1*s),
		c.process(event.Used, 1500*ms, tcp.Established, "helper"),
		c.process(event.Accepted, 2*s, tcp.Established, "worker"),
		c.process(event.Used, 3*s, tcp.Established, "helper"),
		by("helper", c.state(9*s, tcp.Established, tcp.FinWait1)),
	)
}

func TestTracker_FirstReaderOwns(t *testing.T) {
	c := aServer
	story(t, `
		1s server/51:80 LISTEN>SYN_RECV ?
		1.001s server/51:80 SYN_RECV>ESTABLISHED 1ms
		2s server/51:80 owned io by worker
		2.5s server/51:80 ESTABLISHED>CLOSE_WAIT 1.499s
		16m40s server/51:80 ended open owner=worker/io SYN_RECV=1ms ESTABLISHED=1.499s CLOSE_WAIT=...`,
		c.accepted(1*s),
		c.process(event.Used, 2*s, tcp.Established, "worker"),
		c.process(event.Used, 2200*ms, tcp.Established, "other"),
		c.state(2500*ms, tcp.Established, tcp.CloseWait),
	)
}

// Older than the trace: that it was accepted says which side it is.
func TestTracker_AcceptedOlderThanTrace(t *testing.T) {
	c := aServer
	story(t, `
		2s server/51:80 owned accept by worker
		16m40s server/51:80 ended open incomplete begin-unknown owner=worker/accept ESTABLISHED=~...`,
		c.process(event.Accepted, 2*s, tcp.Established, "worker"))
}

// The peer reset it in the accept queue; accept() hands it out nevertheless.
func TestTracker_AcceptedAfterItsEnd(t *testing.T) {
	c := aServer
	tr := story(t, `
		1s server/51:80 LISTEN>SYN_RECV ?
		1.001s server/51:80 SYN_RECV>ESTABLISHED 1ms
		2s server/51:80 reset received in ESTABLISHED
		2s server/51:80 ESTABLISHED>CLOSE 999ms
		2s server/51:80 ended reset_received errno=104 SYN_RECV=1ms ESTABLISHED=999ms`,
		c.accepted(1*s),
		c.resetReceived(2*s, tcp.Established),
		failing(104, c.state(2*s, tcp.Established, tcp.Close)),
		c.process(event.Accepted, 3*s, tcp.Close, "worker"))
	if n := tr.Stats().Stray; n != 1 {
		t.Errorf("%d stray events, want 1", n)
	}
}

func TestConnection_AcceptWait(t *testing.T) {
	c := aServer
	tr := New(Options{})
	wait := func() (time.Duration, bool) {
		for k := range tr.Open {
			return k.AcceptWait()
		}
		t.Fatal("nothing is open")
		return 0, false
	}
	tell(tr, events(c.accepted(1*s)))
	if d, ok := wait(); ok {
		t.Errorf("not accepted, but waited for %v", d)
	}
	tell(tr, events(
		c.state(2*s, tcp.Established, tcp.CloseWait),
		c.process(event.Accepted, 3*s, tcp.CloseWait, "worker"),
		c.process(event.Accepted, 4*s, tcp.CloseWait, "worker"),
	))
	if d, ok := wait(); !ok || d != 1999*ms {
		t.Errorf("waited for %v, %v; want 1.999s", d, ok)
	}
}

func TestConnection_Durations(t *testing.T) {
	c := aClient
	tr := New(Options{})
	tell(tr, events(c.connected(1*s), c.state(5*s, tcp.Established, tcp.CloseWait)))
	for k := range tr.Open {
		want := [tcp.NumStates]time.Duration{
			tcp.SynSent: 1 * ms, tcp.Established: 3999 * ms, tcp.CloseWait: 2 * s,
		}
		if got := k.Durations(event.Time(7 * s)); got != want {
			t.Errorf("until 7 s: %v, want %v", got, want)
		}
		want[tcp.CloseWait] = 0
		if got := k.Durations(event.Time(4 * s)); got != want {
			t.Errorf("as of before the last change: %v, want %v", got, want)
		}
	}
}

package conn

import (
	"net/netip"
	"testing"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const connectedTold = `
	1s client/c1:4000 CLOSE>SYN_SENT ?
	1.001s client/c1:4000 SYN_SENT>ESTABLISHED 1ms
`

// How a socket that goes straight to CLOSE ended, by what the kernel says.
func TestTracker_EndOfSocket(t *testing.T) {
	const none = event.Errno(0)
	tests := []struct {
		name     string
		from     tcp.State
		errno    event.Errno
		received bool // a RST, before
		sent     bool // a RST, before
		want     End
	}{
		{"refused", tcp.SynSent, event.ECONNREFUSED, true, false, EndRefused},
		{"refused by ICMP", tcp.SynSent, event.ECONNREFUSED, false, false, EndRefused},
		{"SYN unanswered", tcp.SynSent, event.ETIMEDOUT, false, false, EndTimeout},
		{"no route", tcp.SynSent, event.EHOSTUNREACH, false, false, EndUnreachable},
		{"refused by ICMP, and the error taken", tcp.SynSent, none, false, false, EndUnreachable},
		{"retransmits ran out", tcp.Established, event.ETIMEDOUT, false, false, EndTimeout},
		{"keepalive ran out", tcp.Established, event.ETIMEDOUT, false, true, EndTimeout},
		{"orphan's retries ran out", tcp.FinWait1, event.ETIMEDOUT, false, false, EndTimeout},
		{"last ACK never came", tcp.LastAck, event.ETIMEDOUT, false, false, EndTimeout},
		{"network gone", tcp.Established, event.ENETUNREACH, false, false, EndUnreachable},
		{"ss -K", tcp.Established, event.ECONNABORTED, false, true, EndAborted},
		{"linger 0", tcp.Established, none, false, false, EndResetSent},
		{"unread data", tcp.CloseWait, none, false, false, EndResetSent},
		{"unaccepted child", tcp.SynRecv, none, false, false, EndResetSent},
		{"orphan limit", tcp.FinWait1, none, false, false, EndResetSent},
		{"peer reset", tcp.Established, event.ECONNRESET, true, false, EndResetReceived},
		{"peer reset, its event lost", tcp.Established, event.ECONNRESET, false, false, EndResetReceived},
		{"peer reset what it had closed", tcp.CloseWait, event.EPIPE, true, false, EndResetReceived},
		{"peer reset our FIN", tcp.LastAck, event.ECONNRESET, true, false, EndResetReceived},
		{"both FINs", tcp.LastAck, none, false, false, EndFIN},
		{"protocol unreachable", tcp.Established, event.ENOPROTOOPT, false, false, EndError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := aClient
			c.id.Cookie = 0xee
			evs := events(c.state(1*s, tcp.Close, tcp.SynSent), c.bound(1*s))
			for from := tcp.SynSent; from != tt.from; {
				to := map[tcp.State]tcp.State{
					tcp.SynSent: tcp.Established, tcp.Established: tcp.CloseWait, tcp.CloseWait: tcp.LastAck,
				}[from]
				if tt.from == tcp.SynRecv || from == tcp.Established && tt.from == tcp.FinWait1 {
					to = tt.from
				}
				evs = append(evs, c.state(2*s, from, to))
				from = to
			}
			if tt.received {
				evs = append(evs, c.resetReceived(3*s, tt.from))
			}
			if tt.sent {
				evs = append(evs, c.resetSent(3*s, tt.from))
			}
			evs = append(evs, failing(tt.errno, c.state(3*s, tt.from, tcp.Close)))

			tr, ended := New(Options{}), 0
			check := func(ch *Change) {
				if ch.Kind != Ended {
					return
				}
				ended++
				if ch.Conn.End != tt.want || ch.Conn.Err != tt.errno || !ch.Conn.Complete {
					t.Errorf("ended %v, error %d, complete %v; want %v, %d, true",
						ch.Conn.End, ch.Conn.Err, ch.Conn.Complete, tt.want, tt.errno)
				}
			}
			for _, ev := range evs {
				tr.Handle(ev, check)
			}
			tr.Finish(event.Time(4*s), check)
			if ended != 1 {
				t.Errorf("ended %d times", ended)
			}
		})
	}
}

func TestTracker_Refused(t *testing.T) {
	c := aClient
	closed := socket{event.ID{NetNS: 1}, serverAddr, clientAddr} // nobody listens
	story(t, `
		1s client/c1:4000 CLOSE>SYN_SENT ? by curl
		1.0001s - reset sent in UNKNOWN
		1.00011s client/c1:4000 reset received in SYN_SENT
		1.00012s client/c1:4000 SYN_SENT>CLOSE 120µs by curl
		1.00012s client/c1:4000 ended refused errno=111 owner=curl/connect SYN_SENT=120µs`,
		by("curl", c.state(1*s, tcp.Close, tcp.SynSent)), c.bound(1*s+1*us),
		closed.resetSent(1*s+100*us, tcp.Unknown),
		c.resetReceived(1*s+110*us, tcp.SynSent),
		// curl holds the lock as the packet is handled; it did not close.
		by("curl", failing(111, c.state(1*s+120*us, tcp.SynSent, tcp.Close))),
	)
}

func TestTracker_SynUnanswered(t *testing.T) {
	c := aClient
	story(t, `
		1s client/c1:4000 CLOSE>SYN_SENT ?
		2s client/c1:4000 retransmitted syn
		4s client/c1:4000 retransmitted syn
		8s client/c1:4000 SYN_SENT>CLOSE 7s
		8s client/c1:4000 episode failed 7s syn*2
		8s client/c1:4000 ended timeout errno=110 SYN_SENT=7s`,
		c.state(1*s, tcp.Close, tcp.SynSent), c.bound(1*s+1*us),
		c.retransmit(2*s, tcp.SynSent, event.Retransmission{CAState: 4, Retransmits: 1}),
		c.retransmit(4*s, tcp.SynSent, event.Retransmission{CAState: 4, Retransmits: 2}),
		failing(event.ETIMEDOUT, c.state(8*s, tcp.SynSent, tcp.Close)),
	)
}

// No local port was free: connect() fails within the kernel. The first record
// is told at last without a port.
func TestTracker_NoPortFree(t *testing.T) {
	c := aClient
	story(t, `
		1s client/c1:0 CLOSE>SYN_SENT ? by wrk
		1.00002s client/c1:0 SYN_SENT>CLOSE 20µs by wrk
		1.00002s client/c1:0 ended unsent owner=wrk/connect closer=wrk/close SYN_SENT=20µs`,
		by("wrk", c.state(1*s, tcp.Close, tcp.SynSent)),
		by("wrk", c.state(1*s+20*us, tcp.SynSent, tcp.Close)))
}

// close() with SO_LINGER 0 or unread data: its RST is reported after CLOSE,
// and still finds its connection.
func TestTracker_ResetByLinger_BothEnds(t *testing.T) {
	c, v := aClient, aServer
	story(t, `
		1s client/c1:4000 CLOSE>SYN_SENT ?
		1s server/51:80 LISTEN>SYN_RECV ?
		1.001s client/c1:4000 SYN_SENT>ESTABLISHED 1ms
		1.001s server/51:80 SYN_RECV>ESTABLISHED 1ms
		2s client/c1:4000 ESTABLISHED>CLOSE 999ms by bot
		2s client/c1:4000 ended reset_sent owner=bot/close closer=bot/close SYN_SENT=1ms ESTABLISHED=999ms
		2.00002s client/c1:4000 reset sent in CLOSE by bot
		2.00001s server/51:80 reset received in ESTABLISHED
		2.00001s server/51:80 ESTABLISHED>CLOSE 999.01ms
		2.00001s server/51:80 ended reset_received errno=104 SYN_RECV=1ms ESTABLISHED=999.01ms`,
		c.state(1*s, tcp.Close, tcp.SynSent), c.bound(1*s+1*us), v.request(1*s),
		c.state(1001*ms, tcp.SynSent, tcp.Established), v.state(1001*ms, tcp.SynRecv, tcp.Established),
		by("bot", c.state(2*s, tcp.Established, tcp.Close)),
		v.resetReceived(2*s+10*us, tcp.Established),
		failing(104, v.state(2*s+10*us, tcp.Established, tcp.Close)),
		by("bot", c.resetSent(2*s+20*us, tcp.Close)),
	)
}

// Half-closed, then closed with unread data: FIN_WAIT2 -> CLOSE and a RST
// right after. It is no overflow of TIME_WAIT.
func TestTracker_ResetAfterHalfClose(t *testing.T) {
	c := aClient
	story(t, inFinWait2Told+`
		5s client/c1:4000 FIN_WAIT2>CLOSE 2.999s by curl
		5s client/c1:4000 ended reset_sent owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1ms FIN_WAIT2=2.999s
		5.00003s client/c1:4000 reset sent in CLOSE by curl`,
		inFinWait2(c),
		by("curl", c.state(5*s, tcp.FinWait2, tcp.Close)),
		by("curl", c.resetSent(5*s+30*us, tcp.Close)),
	)
}

// Data for a socket closed in FIN_WAIT1: the kernel reports a RST received,
// closes, and sends one. Only the last is true.
func TestTracker_DataAfterClose(t *testing.T) {
	c := aClient
	story(t, connectedTold+`
		2s client/c1:4000 ESTABLISHED>FIN_WAIT1 999ms by curl
		2.1s client/c1:4000 FIN_WAIT1>CLOSE 100ms
		2.1s client/c1:4000 ended reset_sent errno=104 sent=3 owner=curl/close closer=curl/close SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=100ms
		2.10001s client/c1:4000 reset sent in CLOSE`,
		c.connected(1*s),
		by("curl", c.state(2*s, tcp.Established, tcp.FinWait1)),
		c.resetReceived(2100*ms, tcp.FinWait1),
		c.totals(2100*ms, 3),
		failing(104, c.state(2100*ms, tcp.FinWait1, tcp.Close)),
		c.resetSent(2100*ms+10*us, tcp.Close),
	)
}

// A true RST in FIN_WAIT1: none is sent after it.
func TestTracker_PeerResetsInFinWait1(t *testing.T) {
	c := aClient
	story(t, connectedTold+`
		2s client/c1:4000 ESTABLISHED>FIN_WAIT1 999ms
		2.1s client/c1:4000 reset received in FIN_WAIT1
		2.1s client/c1:4000 FIN_WAIT1>CLOSE 100ms
		2.1s client/c1:4000 ended reset_received errno=104 SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=100ms
		5s server/51:80 LISTEN>SYN_RECV ?
		16m40s server/51:80 ended open SYN_RECV=...`,
		c.connected(1*s),
		c.state(2*s, tcp.Established, tcp.FinWait1),
		c.resetReceived(2100*ms, tcp.FinWait1),
		failing(104, c.state(2100*ms, tcp.FinWait1, tcp.Close)),
		aServer.request(5*s),
	)
}

// The listener answers for a handshake that it has no room for.
func TestTracker_ResetSentByListener(t *testing.T) {
	l := socket{id: event.ID{NetNS: 1, Cookie: 0x1}, local: serverAddr}
	stray := l.resetSent(2*s, tcp.Listen)
	stray.Remote = clientAddr
	tr := New(Options{})
	expect(t, tell(tr, events(l.state(1*s, tcp.Close, tcp.Listen), stray)), `
		1s server/1:80 CLOSE>LISTEN ?
		2s server/1:80 reset sent in LISTEN`)
	for c := range tr.Open {
		if c.Remote.IsValid() || !c.Listener() {
			t.Errorf("the listener took %v for its peer", c.Remote)
		}
	}
	// A listener that is older than the trace stays unknown: no cookie of a
	// connection is told.
	expect(t, tell(New(Options{}), events(stray)), `2s - reset sent in LISTEN`)
}

func TestTracker_ResetOfUnknownSocket(t *testing.T) {
	nobody := socket{event.ID{NetNS: 1}, netip.MustParseAddrPort("10.0.0.2:81"), clientAddr}
	forgotten := aClient
	tr := story(t, `
		1s - reset sent in UNKNOWN
		2s - reset sent in CLOSE`,
		nobody.resetSent(1*s, tcp.Unknown), forgotten.resetSent(2*s, tcp.Close))
	if n := tr.Stats().Live; n != 0 {
		t.Errorf("%d connections made of stray resets", n)
	}
}

// A connection older than the trace, first known by the RST that ends it.
func TestTracker_ResetOlderThanTrace(t *testing.T) {
	c := aClient
	story(t, `
		1s unknown/c1:4000 reset received in ESTABLISHED
		1.00001s unknown/c1:4000 ESTABLISHED>CLOSE >=10µs
		1.00001s unknown/c1:4000 ended reset_received errno=104 incomplete begin-unknown ESTABLISHED=~10µs`,
		c.resetReceived(1*s, tcp.Established),
		failing(104, c.state(1*s+10*us, tcp.Established, tcp.Close)))
}

// What a process does to a socket in SYN_SENT is its own doing, and what the
// kernel does is not, though the process may have asked for the error just before
// the socket closed, which then has none.
func TestTracker_EndWithoutError(t *testing.T) {
	curl := event.Task{PID: 4242, Comm: [16]byte{'c', 'u', 'r', 'l'}}
	for _, tt := range []struct {
		name  string
		from  tcp.State
		by    event.Task
		cause event.Cause
		want  End
	}{
		{"given up by the process", tcp.SynSent, curl, event.CauseUnknown, EndAbandoned},
		{"SYN unanswered", tcp.SynSent, event.Task{}, event.CauseTimeout, EndTimeout},
		{"unreachable", tcp.SynSent, event.Task{}, event.CauseUnknown, EndUnreachable},
		{"retransmits ran out", tcp.Established, event.Task{}, event.CauseTimeout, EndTimeout},
		{"and of a socket that was shut down", tcp.FinWait1, event.Task{}, event.CauseTimeout, EndTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := aClient
			life := c.connected(1 * s)
			if tt.from == tcp.SynSent {
				life = events(c.state(1*s, tcp.Close, tcp.SynSent), c.bound(1*s))
			} else if tt.from == tcp.FinWait1 {
				life = append(life, c.state(2*s, tcp.Established, tcp.FinWait1))
			}
			end := c.state(9*s, tt.from, tcp.Close)
			end.Task, end.Cause = tt.by, tt.cause
			if got := ends(New(Options{}), append(life, end), 10*s); len(got) != 1 || got[0] != tt.want {
				t.Errorf("ended %v, want %v", got, tt.want)
			}
		})
	}
}

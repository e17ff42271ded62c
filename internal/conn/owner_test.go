package conn

import (
	"testing"

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
		9s client/c1:4000 ended timeout errno=110 SYN_SENT=1ms ESTABLISHED=7.999s`,
		c.connected(1*s),
		c.retransmit(2*s, tcp.Established, event.Retransmission{CAState: 4, Retransmits: 1}),
		by("curl", failing(110, c.state(9*s, tcp.Established, tcp.Close))),
	)
}

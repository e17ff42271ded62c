//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// tick is by how much a timer of the kernel may be early: it does not count
// what was left of the tick in which it was set, 10 ms at most (HZ of 100).
const tick = 10 * time.Millisecond

// synTimeout is how long a handshake lasts that is tried twice: the first wait
// is 1 s (TCP_TIMEOUT_INIT), the second twice that.
const synTimeout = 3*time.Second - 2*tick

// How handshakes fail at either end.
var (
	givenUp  = []tcp.State{tcp.Close, tcp.SynSent, tcp.Close}
	halfOpen = []tcp.State{tcp.Listen, tcp.SynRecv, tcp.Close}
)

func handshakeStories() []Story {
	crossedSYN := []tcp.State{tcp.Close, tcp.SynSent, tcp.SynRecv, tcp.Established}
	return []Story{{
		Name:     "refused",
		Doc:      "the client connects to a port where nobody listens",
		Rule:     "connect-refused",
		Client:   givenUp,
		Networks: everywhere,
		play:     playRefused,
	}, {
		Name:     "syn-unanswered",
		Doc:      "the client's SYN and its one retransmit are lost: connect() times out after 3 s",
		Rule:     "connect-timeout",
		Client:   givenUp,
		Networks: []Network{Wire},
		Takes:    synTimeout,
		together: true,
		sysctls:  [][2]string{{"net.ipv4.tcp_syn_retries", "1"}, {"?net.ipv4.tcp_syn_linear_timeouts", "0"}},
		play:     playUnanswered,
	}, {
		Name:     "slow-handshake",
		Doc:      "the handshake's last ACK takes 200 ms: the server is in SYN_RECV so long",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: []Network{Wire},
		Hold:     200 * time.Millisecond,
		MaxHold:  900 * time.Millisecond, // the SYN-ACK is sent again after 1 s
		together: true,
		play:     playSlowHandshake,
	}, {
		Name:     "reset-in-handshake",
		Doc:      "the client closes before the SYN-ACK is there, and answers it with a RST",
		Client:   givenUp,
		Server:   halfOpen,
		Networks: []Network{Wire},
		Hold:     200 * time.Millisecond,
		MaxHold:  900 * time.Millisecond,
		together: true,
		play:     playResetInHandshake,
	}, {
		Name:     "handshake-abandoned",
		Doc:      "the client vanishes after its SYN: the server gives SYN_RECV up after 3 s (tcp_synack_retries 1)",
		Client:   givenUp,
		Server:   halfOpen,
		Networks: []Network{Wire},
		Takes:    synTimeout,
		together: true,
		sysctls:  [][2]string{{"net.ipv4.tcp_synack_retries", "1"}},
		play:     playAbandoned,
	}, {
		Name:     "syn-cookies",
		Doc:      "the server answers each SYN with a cookie (tcp_syncookies 2) and keeps nothing of it: SYN_RECV lasts an instant. Nothing is wrong",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: everywhere,
		sysctls:  [][2]string{{"net.ipv4.tcp_syncookies", "2"}},
		play:     func(ctx context.Context, st *stage) error { return st.closeInOrder(ctx, clientFirst) },
	}, {
		Name:     "simultaneous-open",
		Doc:      "both ends bind and connect to each other and their SYNs cross; the client closes first",
		Rule:     "simultaneous-open",
		Client:   path(crossedSYN, closesFirst),
		Server:   path(crossedSYN, closesSecond),
		Networks: []Network{Wire},
		play:     playSimultaneousOpen,
	}}
}

func playRefused(ctx context.Context, st *stage) error {
	for range st.p.N {
		pr, err := st.begin(netip.AddrPort{}, st.serverAddr())
		if err != nil {
			return err
		}
		if err := st.fails(ctx, pr, unix.ECONNREFUSED, "refused"); err != nil {
			return err
		}
	}
	return errors.Join(
		st.failed(Failure{Op: "connect", Errno: "ECONNREFUSED", Count: st.p.N}),
		st.ours(st.p.N),
		st.await(ctx, census{}),
	)
}

// fails waits for the client's connect() to fail with want, and closes it.
func (st *stage) fails(ctx context.Context, pr *pair, want unix.Errno, end string) error {
	name := unix.ErrnoName(want)
	switch err := pr.client.finishConnect(ctx); {
	case err == nil:
		return fmt.Errorf("connect: no error instead of %s", name)
	case !errors.Is(err, want):
		return fmt.Errorf("%w instead of %s", err, name)
	}
	st.ended(pr, end, "").ClientErrno = name
	return pr.client.close()
}

func playUnanswered(ctx context.Context, st *stage) error {
	st.net.wire.setRule(func(*wire, segment) {})
	return st.unanswered(ctx)
}

// unanswered has all clients connect to where nothing answers, and give up.
func (st *stage) unanswered(ctx context.Context) error {
	pairs, begun, err := st.beginAll()
	if err != nil {
		return err
	}
	if err := st.await(ctx, census{tcp.SynSent: st.p.N}); err != nil {
		return err
	}
	if err := st.held(); err != nil {
		return err
	}
	err = errors.Join(st.failed(Failure{Op: "connect", Errno: "ETIMEDOUT", Count: st.p.N}), st.ours(st.p.N))
	if err != nil {
		return err
	}
	for i, pr := range pairs {
		if err := st.fails(ctx, pr, unix.ETIMEDOUT, "timeout"); err != nil {
			return err
		}
		begun[i].endedBefore = time.Now()
		st.conn(pr).ClientStays = []Stay{begun[i].atLeast(synTimeout, tcp.SynSent)}
	}
	return st.await(ctx, census{})
}

// beginAll sends N SYNs to the server and says when each was sent.
func (st *stage) beginAll() ([]*pair, []bracket, error) {
	pairs, begun := make([]*pair, st.p.N), make([]bracket, st.p.N)
	for i := range pairs {
		var err error
		begun[i].begunAfter = time.Now()
		if pairs[i], err = st.begin(netip.AddrPort{}, st.serverAddr()); err != nil {
			return nil, nil, err
		}
		begun[i].begunBefore = time.Now()
	}
	return pairs, begun, nil
}

// playSlowHandshake delays the client's first ACK. The client says nothing
// before it is accepted, since data would complete the handshake as well.
func playSlowHandshake(ctx context.Context, st *stage) error {
	delayed := map[flow]bool{}
	st.net.wire.setRule(func(w *wire, s segment) {
		if s.from == clientSide && s.flags&flagSYN == 0 && !delayed[s.flow()] {
			delayed[s.flow()] = true
			w.passAfter(st.p.Hold, s)
			return
		}
		w.pass(s)
	})
	if err := st.listen(); err != nil {
		return err
	}
	pairs, begun, err := st.beginAll()
	if err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := pr.client.finishConnect(ctx); err != nil {
			return err
		}
	}
	if err := st.held(); err != nil {
		return err
	}
	if err := st.accept(ctx, pairs); err != nil {
		return err
	}
	for i, pr := range pairs {
		b := begun[i]
		b.endedBefore = pr.accepted
		if err := pr.exchange(ctx); err != nil {
			return err
		}
		if err := closeBoth(ctx, pr.client, pr.server); err != nil {
			return err
		}
		c := st.ended(pr, "fin", "fin")
		c.TimeWaitCause = "netns_exit"
		c.ServerStays = []Stay{b.atLeast(st.p.Hold, tcp.SynRecv)}
	}
	return st.rest(ctx, st.p.N)
}

// firstPort is where ports begin that stories choose themselves: MaxN of them
// end before the ephemeral ports do begin.
const firstPort = 20_000

func playSimultaneousOpen(ctx context.Context, st *stage) error {
	st.net.wire.setRule(newCrossing(flagSYN, flagSYN|flagACK).rule)
	for i := range st.p.N {
		pr, err := st.meet(ctx, uint16(firstPort+i))
		if err != nil {
			return err
		}
		if err := pr.exchange(ctx); err != nil {
			return err
		}
		if err := closeBoth(ctx, pr.client, pr.server); err != nil {
			return err
		}
		st.ended(pr, "fin", "fin").TimeWaitCause = "netns_exit"
	}
	if err := st.ours(2 * st.p.N); err != nil { // both ends
		return err
	}
	return st.rest(ctx, st.p.N)
}

// meet connects two bound sockets to each other.
func (st *stage) meet(ctx context.Context, port uint16) (*pair, error) {
	here, there := netip.AddrPortFrom(st.net.clientAddr, port), netip.AddrPortFrom(st.net.serverAddr, port)
	server, err := st.socket(st.net.server)
	if err != nil {
		return nil, err
	}
	if err := server.bind(there); err != nil {
		return nil, err
	}
	pr, err := st.begin(here, there)
	if err != nil {
		return nil, err
	}
	pr.server = server
	if err := server.startConnect(here); err != nil {
		return nil, err
	}
	if st.conn(pr).ServerCookie, err = server.cookie(); err != nil {
		return nil, err
	}
	if err := pr.client.finishConnect(ctx); err != nil {
		return nil, err
	}
	return pr, server.finishConnect(ctx)
}

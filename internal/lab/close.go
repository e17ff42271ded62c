//go:build linux

package lab

import (
	"context"
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

var everywhere = []Network{Loopback, Veth, Wire}

func closeStories() []Story {
	return []Story{{
		Name:     "client-close",
		Doc:      "the client closes first, the server when it has read the end",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: everywhere,
		play:     func(ctx context.Context, st *stage) error { return st.closeInOrder(ctx, clientFirst) },
	}, {
		Name:     "server-close",
		Doc:      "the server closes first, the client when it has read the end",
		Client:   path(opened, closesSecond),
		Server:   path(accepted, closesFirst),
		Networks: everywhere,
		play:     func(ctx context.Context, st *stage) error { return st.closeInOrder(ctx, serverFirst) },
	}, {
		Name:     "half-close",
		Doc:      "the client shuts down its sending side and stays in FIN_WAIT2 with its socket, until the server closes",
		Rule:     "fin-wait2-stuck",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: everywhere,
		Hold:     time.Second,
		together: true,
		play:     playHalfClose,
	}, {
		Name:     "close-wait",
		Doc:      "the client closes, the server does not and stays in CLOSE_WAIT",
		Rule:     "close-wait-leak",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: everywhere,
		Hold:     time.Second,
		MaxHold:  50 * time.Second, // the client's orphan ends after tcp_fin_timeout, 60 s
		together: true,
		play:     playLateClose,
	}, {
		Name:     "orphan-fin-wait2",
		Doc:      "the client closes, the server does not: the client's orphan gives up FIN_WAIT2 after tcp_fin_timeout, 3 s",
		Rule:     "fin-wait2-stuck",
		Client:   path(opened, []tcp.State{tcp.FinWait1, tcp.FinWait2, tcp.Close}),
		Server:   path(accepted, closesSecond),
		Networks: everywhere,
		Takes:    orphanTimeout,
		together: true,
		sysctls:  [][2]string{{"net.ipv4.tcp_fin_timeout", "3"}},
		play:     playOrphan,
	}, {
		Name:     "orphan-fin-wait2-fin",
		Doc:      "the same, but the server's FIN comes before that and meets the timewait socket in FIN_WAIT2",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: everywhere,
		Hold:     500 * time.Millisecond,
		MaxHold:  orphanTimeout - time.Second,
		together: true,
		sysctls:  [][2]string{{"net.ipv4.tcp_fin_timeout", "3"}},
		play:     playLateClose,
	}, {
		Name:     "simultaneous-close",
		Doc:      "both ends close at once and their FINs cross",
		Rule:     "simultaneous-close",
		Client:   path(opened, crossedFIN),
		Server:   path(accepted, crossedFIN),
		Networks: []Network{Wire},
		play:     playSimultaneousClose,
	}}
}

const orphanTimeout = 3 * time.Second

var crossedFIN = []tcp.State{tcp.FinWait1, tcp.Closing, tcp.TimeWait, tcp.Close}

func (st *stage) closeInOrder(ctx context.Context, order func(*pair) (first, second *socket)) error {
	if err := st.listen(); err != nil {
		return err
	}
	_, _, err := st.waiting(ctx, nil, order)
	return err
}

func closeBoth(ctx context.Context, first, second *socket) error {
	if err := first.close(); err != nil {
		return err
	}
	if err := second.hearEnd(ctx); err != nil {
		return err
	}
	return second.close()
}

// playHalfClose keeps the client's full socket in FIN_WAIT2 for Hold. The
// server still has something to say then, which must not change the state.
func playHalfClose(ctx context.Context, st *stage) error {
	pairs, err := st.openAll(ctx)
	if err != nil {
		return err
	}
	begun, err := st.halfClose(ctx, pairs, (*socket).shutdown)
	if err != nil {
		return err
	}
	for i, pr := range pairs {
		if err := pr.server.say(); err != nil {
			return err
		}
		if err := pr.client.hear(ctx); err != nil {
			return err
		}
		b := begun[i]
		b.endedAfter = time.Now()
		if err := closeBoth(ctx, pr.server, pr.client); err != nil {
			return err
		}
		b.endedBefore = time.Now()
		st.stayedHalfClosed(pr, b)
	}
	return st.rest(ctx, st.p.N)
}

// halfClose sends each client's FIN by the given means, waits until all are
// half closed, and holds that for Hold. It returns what is known of when each
// connection's FIN_WAIT2 and CLOSE_WAIT began.
func (st *stage) halfClose(ctx context.Context, pairs []*pair, fin func(*socket) error) ([]bracket, error) {
	begun := make([]bracket, len(pairs))
	for i, pr := range pairs {
		begun[i].begunAfter = time.Now()
		if err := fin(pr.client); err != nil {
			return nil, err
		}
		if err := pr.server.hearEnd(ctx); err != nil {
			return nil, err
		}
	}
	if err := st.await(ctx, census{tcp.FinWait2: len(pairs), tcp.CloseWait: len(pairs)}); err != nil {
		return nil, err
	}
	all := time.Now()
	for i := range begun {
		begun[i].begunBefore = all
	}
	if err := st.ours(len(pairs)); err != nil {
		return nil, err
	}
	if err := st.held(); err != nil {
		return nil, err
	}
	return begun, sleep(ctx, st.p.Hold)
}

// stayedHalfClosed notes how long both ends' halves lasted, for a connection
// that then ended well.
func (st *stage) stayedHalfClosed(pr *pair, b bracket) {
	c := st.ended(pr, "fin", "fin")
	c.TimeWaitCause = "netns_exit"
	c.ClientStays = []Stay{b.stay(tcp.FinWait2)}
	c.ServerStays = []Stay{b.stay(tcp.CloseWait)}
}

// playLateClose has the server close Hold after the client did. The client's
// FIN_WAIT2 is a timewait socket's.
func playLateClose(ctx context.Context, st *stage) error {
	pairs, err := st.openAll(ctx)
	if err != nil {
		return err
	}
	brackets, err := st.halfClose(ctx, pairs, (*socket).close)
	if err != nil {
		return err
	}
	for i, pr := range pairs {
		brackets[i].endedAfter = time.Now()
		if err := pr.server.close(); err != nil {
			return err
		}
	}
	if err := st.rest(ctx, st.p.N); err != nil {
		return err
	}
	all := time.Now()
	for i, pr := range pairs {
		brackets[i].endedBefore = all
		st.stayedHalfClosed(pr, brackets[i])
	}
	return nil
}

// playOrphan has the server close when the client's orphan is gone: its FIN
// meets no socket and is answered by a RST.
func playOrphan(ctx context.Context, st *stage) error {
	pairs, err := st.openAll(ctx)
	if err != nil {
		return err
	}
	brackets, err := st.halfClose(ctx, pairs, (*socket).close)
	if err != nil {
		return err
	}
	if err := st.await(ctx, census{tcp.CloseWait: st.p.N}); err != nil {
		return err
	}
	gone := time.Now()
	for i, pr := range pairs {
		b := brackets[i]
		b.endedBefore, b.endedAfter = gone, gone
		if err := pr.server.close(); err != nil {
			return err
		}
		c := st.ended(pr, "", "reset_received")
		c.TimeWaitCause = "expired"
		c.ClientStays = []Stay{b.atLeast(orphanTimeout-tick, tcp.FinWait2)}
		c.ServerStays = []Stay{{State: tcp.CloseWait.String(), Min: orphanTimeout - tick, Max: time.Since(b.begunAfter)}}
	}
	return st.await(ctx, census{})
}

func playSimultaneousClose(ctx context.Context, st *stage) error {
	cross := newCrossing(flagFIN, flagFIN)
	cross.calls = true
	st.net.wire.setRule(cross.rule)
	if err := st.listen(); err != nil {
		return err
	}
	for range st.p.N {
		pr, err := st.open(ctx, netip.AddrPort{})
		if err != nil {
			return err
		}
		if err := pr.settle(ctx); err != nil {
			return err
		}
		if err := pr.client.close(); err != nil {
			return err
		}
		if err := pr.server.close(); err != nil {
			return err
		}
		cross.let(st.net.wire, st.conn(pr).flow())
		st.ended(pr, "fin", "fin").TimeWaitCause = "netns_exit"
	}
	if err := st.ours(2 * st.p.N); err != nil { // both ends
		return err
	}
	return st.rest(ctx, 2*st.p.N)
}

// settle waits until nothing that either end has said is unacknowledged. Where
// the peer's ACK may come with its FIN, which a rule holds back, data would be
// sent again, and our FIN could wait for it (congestion window).
func (pr *pair) settle(ctx context.Context) error {
	for _, k := range []*socket{pr.client, pr.server} {
		if err := poll(ctx, k.acknowledged); err != nil {
			return err
		}
	}
	return nil
}

// A crossing has the first segments of either side that have exactly the flags
// want, among those of which, cross on the wire: none of the two arrives before
// both were sent.
type crossing struct {
	want, which uint8
	// calls says that they wait also until let is called: while a system call
	// holds its socket, the kernel merges what arrives there, the peer's FIN with
	// the ACK that follows (tcp_add_backlog).
	calls    bool
	meetings map[flow]*meeting
}

type meeting struct {
	held      [2]*segment // by the side that sent it
	let, over bool
}

func newCrossing(want, which uint8) *crossing {
	return &crossing{want: want, which: which, meetings: map[flow]*meeting{}}
}

func (c *crossing) of(f flow) *meeting {
	if c.meetings[f] == nil {
		c.meetings[f] = &meeting{}
	}
	return c.meetings[f]
}

func (c *crossing) rule(w *wire, s segment) {
	m := c.of(s.flow())
	if m.over || !s.is(c.want, c.which) {
		w.pass(s)
		return
	}
	if m.held[s.from] == nil { // else it was sent again, with data that it follows
		kept := s.clone()
		m.held[s.from] = &kept
	}
	c.cross(w, m)
}

// let says that the system calls of both ends have returned.
func (c *crossing) let(w *wire, f flow) {
	w.locked(func() {
		m := c.of(f)
		m.let = true
		c.cross(w, m)
	})
}

func (c *crossing) cross(w *wire, m *meeting) {
	if m.held[clientSide] == nil || m.held[serverSide] == nil || c.calls && !m.let {
		return
	}
	m.over = true
	for _, kept := range m.held {
		w.pass(*kept)
	}
	m.held = [2]*segment{}
}

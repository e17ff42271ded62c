//go:build linux

package lab

import (
	"context"
	"time"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Stories of FINs that nobody acknowledges. A socket whose process has closed
// sends its FIN again until tcp_orphan_retries is used up, and is then given up
// without a word.

// stuckTimeout is how long that takes at least: with tcp_orphan_retries 2, three
// timeouts of which the first is TCP_RTO_MIN, 200 ms, and each is twice the one
// before (tcp_model_timeout).
const stuckTimeout = (200+400+800)*time.Millisecond - 3*tick

var fewRetries = [2]string{"net.ipv4.tcp_orphan_retries", "2"}

func stuckStories() []Story {
	return []Story{{
		Name:     "fin-wait1-stuck",
		Doc:      "the clients close and their FINs are lost: FIN_WAIT1 until tcp_orphan_retries, 2, is used up, some 2 s. The servers' host crashes",
		Rule:     "fin-wait1-stuck",
		Client:   path(opened, []tcp.State{tcp.FinWait1, tcp.Close}),
		Server:   path(accepted, aborted),
		Networks: []Network{Wire},
		Takes:    stuckTimeout,
		together: true,
		sysctls:  [][2]string{fewRetries},
		play:     playFinWait1Stuck,
	}, {
		Name:     "last-ack-stuck",
		Doc:      "the clients close, then the servers, whose FINs' acknowledgements are lost: LAST_ACK until tcp_orphan_retries is used up",
		Rule:     "last-ack-stuck",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, []tcp.State{tcp.CloseWait, tcp.LastAck, tcp.Close}),
		Networks: []Network{Wire},
		Takes:    stuckTimeout,
		together: true,
		sysctls:  [][2]string{fewRetries},
		play:     playLastAckStuck,
	}, {
		Name:     "closing-stuck",
		Doc:      "the FINs of both ends cross and only the servers' are acknowledged: the clients stay in CLOSING until tcp_orphan_retries is used up",
		Rule:     "closing-stuck",
		Client:   path(opened, []tcp.State{tcp.FinWait1, tcp.Closing, tcp.Close}),
		Server:   path(accepted, crossedFIN),
		Networks: []Network{Wire},
		Takes:    stuckTimeout,
		together: true,
		sysctls:  [][2]string{fewRetries},
		play:     playClosingStuck,
	}}
}

// openSettled opens N connections on which nothing is unacknowledged.
func (st *stage) openSettled(ctx context.Context) ([]*pair, error) {
	pairs, err := st.openAll(ctx)
	if err != nil {
		return nil, err
	}
	for _, pr := range pairs {
		if err := pr.settle(ctx); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

// stuck holds the state that want says, of which each of brackets has begun,
// and waits until the kernel has given up those that are in it: until there is
// what left says.
func (st *stage) stuck(ctx context.Context, brackets []bracket, want, left census) error {
	if err := st.await(ctx, want); err != nil {
		return err
	}
	if err := st.ours(st.p.N); err != nil {
		return err
	}
	if err := st.held(); err != nil {
		return err
	}
	if err := st.await(ctx, left); err != nil {
		return err
	}
	gone := time.Now()
	for i := range brackets {
		brackets[i].endedBefore = gone
	}
	return nil
}

func playFinWait1Stuck(ctx context.Context, st *stage) error {
	st.net.wire.setRule(func(w *wire, s segment) {
		if s.from == clientSide && s.flags&flagFIN != 0 {
			return
		}
		w.pass(s)
	})
	pairs, err := st.openSettled(ctx)
	if err != nil {
		return err
	}
	brackets := make([]bracket, len(pairs))
	for i, pr := range pairs {
		brackets[i].begunAfter = time.Now()
		if err := pr.client.close(); err != nil {
			return err
		}
	}
	n := st.p.N
	err = st.stuck(ctx, brackets, census{tcp.FinWait1: n, tcp.Established: n}, census{tcp.Established: n})
	if err != nil {
		return err
	}
	for i, pr := range pairs {
		if err := pr.server.vanish(); err != nil {
			return err
		}
		st.ended(pr, "timeout", "").ClientStays = []Stay{brackets[i].atLeast(stuckTimeout, tcp.FinWait1)}
	}
	return st.await(ctx, census{})
}

func playLastAckStuck(ctx context.Context, st *stage) error {
	finished := map[flow]bool{} // the server has sent its FIN
	st.net.wire.setRule(func(w *wire, s segment) {
		if s.from == clientSide && finished[s.flow()] {
			return
		}
		if s.from == serverSide && s.flags&flagFIN != 0 {
			finished[s.flow()] = true
		}
		w.pass(s)
	})
	pairs, err := st.openSettled(ctx)
	if err != nil {
		return err
	}
	brackets := make([]bracket, len(pairs))
	for i, pr := range pairs {
		if err := pr.client.close(); err != nil {
			return err
		}
		if err := pr.server.hearEnd(ctx); err != nil {
			return err
		}
		brackets[i].begunAfter = time.Now()
		if err := pr.server.close(); err != nil {
			return err
		}
	}
	n := st.p.N
	err = st.stuck(ctx, brackets, census{tcp.LastAck: n, tcp.TimeWait: n}, census{tcp.TimeWait: n})
	if err != nil {
		return err
	}
	for i, pr := range pairs {
		c := st.ended(pr, "fin", "timeout")
		c.TimeWaitCause = "netns_exit"
		c.ServerStays = []Stay{brackets[i].atLeast(stuckTimeout, tcp.LastAck)}
	}
	return nil
}

func playClosingStuck(ctx context.Context, st *stage) error {
	cross, finished := newCrossing(flagFIN, flagFIN), map[flow]bool{}
	cross.calls = true
	st.net.wire.setRule(func(w *wire, s segment) {
		switch {
		case s.from != serverSide:
		case s.flags&flagFIN != 0:
			finished[s.flow()] = true
		case finished[s.flow()]:
			return
		}
		cross.rule(w, s)
	})
	pairs, err := st.openSettled(ctx)
	if err != nil {
		return err
	}
	brackets := make([]bracket, len(pairs))
	for i, pr := range pairs {
		if err := pr.client.close(); err != nil {
			return err
		}
		brackets[i].begunAfter = time.Now()
		if err := pr.server.close(); err != nil {
			return err
		}
		cross.let(st.net.wire, st.conn(pr).flow())
	}
	n := st.p.N
	err = st.stuck(ctx, brackets, census{tcp.Closing: n, tcp.TimeWait: n}, census{tcp.TimeWait: n})
	if err != nil {
		return err
	}
	for i, pr := range pairs {
		c := st.ended(pr, "timeout", "fin")
		c.TimeWaitCause = "netns_exit"
		// The timeouts count from when the FIN was sent first, in FIN_WAIT1.
		st.conn(pr).ClientStays = []Stay{brackets[i].atLeast(time.Millisecond, tcp.Closing)}
	}
	return nil
}

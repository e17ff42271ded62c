//go:build linux

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Stories of a process that does not accept. A listener's accept queue takes
// one connection more than its backlog (sk_acceptq_is_full).

func queueStories() []Story {
	return []Story{{
		Name: "accept-queue-overflow",
		Doc: "a server's process does not accept and its queue has room for half of the clients: the SYNs of the others are dropped, " +
			"twice each (tcp_syn_retries 1), and they time out after 3 s. Then it serves those that it has",
		Rule:     "accept-queue-overflow",
		Client:   path(opened, closesSecond),
		Server:   path(accepted, closesFirst),
		Networks: []Network{Loopback, Veth},
		Takes:    synTimeout,
		together: true,
		cast:     true,
		sysctls: [][2]string{
			unhurt,
			{"net.ipv4.tcp_abort_on_overflow", "0"},
			{"net.ipv4.tcp_syn_retries", "1"},
			{"?net.ipv4.tcp_syn_linear_timeouts", "0"},
		},
		play: playQueueFull,
	}, {
		Name: "accept-queue-overflow-abort",
		Doc: "the same with tcp_abort_on_overflow 1 and a queue that fills up between SYN and ACK: the ACKs that come too late are " +
			"answered by RSTs",
		Rule:     "accept-queue-overflow",
		Client:   path(opened, closesSecond),
		Server:   path(accepted, closesFirst),
		Networks: []Network{Wire},
		together: true,
		cast:     true,
		sysctls:  [][2]string{unhurt, {"net.ipv4.tcp_abort_on_overflow", "1"}},
		play:     playQueueAborts,
	}}
}

// queue opens so many connections, one after the other, which nobody accepts.
func (st *stage) queue(ctx context.Context, count int) ([]*pair, error) {
	pairs := make([]*pair, count)
	for i := range pairs {
		var err error
		if pairs[i], err = st.begin(netip.AddrPort{}, st.serverAddr()); err != nil {
			return nil, err
		}
		if err := pairs[i].client.finishConnect(ctx); err != nil {
			return nil, err
		}
	}
	return pairs, st.await(ctx, census{tcp.Established: 2 * count})
}

// wake lets the sleeper serve the clients that are in its queue.
func (st *stage) wake(ctx context.Context, pairs []*pair) error {
	for _, pr := range pairs {
		if err := pr.client.say(); err != nil {
			return err
		}
	}
	if err := st.processes[0].end(ctx); err != nil {
		return err
	}
	if err := st.farewellHeard(ctx, pairs); err != nil {
		return err
	}
	return st.rest(ctx, len(pairs))
}

func playQueueFull(ctx context.Context, st *stage) error {
	room := min(st.p.N, max(2, (st.p.N+1)/2))
	if err := st.engage(ctx, 1, 1, duty{Part: "sleeper", Count: room, Queue: max(1, room-1)}); err != nil {
		return err
	}
	pairs, err := st.queue(ctx, room)
	if err != nil {
		return err
	}
	dropped := make([]*pair, st.p.N-room)
	for i := range dropped {
		if dropped[i], err = st.begin(netip.AddrPort{}, st.serverAddr()); err != nil {
			return err
		}
		c := st.conn(dropped[i])
		c.ClientStates, c.ServerStates, c.ServerPID, c.unserved = names(givenUp), nil, 0, true
	}
	if err := st.await(ctx, census{tcp.Established: 2 * room, tcp.SynSent: len(dropped)}); err != nil {
		return err
	}
	if err := st.theirs(2 * len(dropped)); err != nil { // SYNs
		return err
	}
	if err := st.held(); err != nil {
		return err
	}
	for _, pr := range dropped {
		if err := st.fails(ctx, pr, unix.ETIMEDOUT, "timeout"); err != nil {
			return err
		}
	}
	if err := st.failed(Failure{Op: "connect", Errno: "ETIMEDOUT", Count: len(dropped)}); err != nil {
		return err
	}
	return st.wake(ctx, pairs)
}

func playQueueAborts(ctx context.Context, st *stage) error {
	backlog := (st.p.N + 1) / 2
	early := st.p.N - backlog
	inTime := min(backlog, backlog+1-early) // of those whose ACKs come late
	d := duty{Part: "sleeper", Count: early + inTime, Queue: backlog}
	if err := st.engage(ctx, 1, 1, d); err != nil {
		return err
	}
	pairs, err := st.queue(ctx, early)
	if err != nil {
		return err
	}
	bag := newMailbag()
	st.net.wire.setRule(func(w *wire, s segment) {
		if _, kept := bag.kept[s.flow()]; !kept && s.from == clientSide && s.flags&flagSYN == 0 {
			bag.kept[s.flow()] = s.clone()
			return
		}
		w.pass(s)
	})
	late := make([]*pair, backlog)
	for i := range late {
		if late[i], err = st.begin(netip.AddrPort{}, st.serverAddr()); err != nil {
			return err
		}
	}
	for _, pr := range late {
		if err := pr.client.finishConnect(ctx); err != nil {
			return err
		}
	}
	if err := st.awaitKept(ctx, bag, len(late)); err != nil {
		return err
	}
	if err := st.await(ctx, census{tcp.Established: 2*early + len(late), tcp.SynRecv: len(late)}); err != nil {
		return err
	}
	if err := st.theirs(len(late) - inTime); err != nil {
		return err
	}
	if err := st.held(); err != nil {
		return err
	}
	w := st.net.wire
	w.locked(func() {
		w.rule = nil
		for _, pr := range late {
			w.pass(bag.kept[st.conn(pr).flow()])
		}
	})
	for _, pr := range late[inTime:] {
		if err := pr.client.hearReset(ctx); err != nil {
			return err
		}
		if err := pr.client.close(); err != nil {
			return err
		}
		c := st.ended(pr, "reset_received", "reset_sent")
		c.ClientStates, c.ServerStates, c.RequestCause = names(path(opened, aborted)), names(halfOpen), "overflow"
		c.unserved = true
	}
	return st.wake(ctx, append(pairs, late[:inTime]...))
}

// awaitKept waits until a rule has kept so many segments.
func (st *stage) awaitKept(ctx context.Context, bag *mailbag, count int) error {
	standstill, kept := st.staller(), 0
	err := poll(ctx, func() (bool, error) {
		st.net.wire.locked(func() { kept = len(bag.kept) })
		if kept == count {
			return true, nil
		}
		return false, standstill.err()
	})
	if err != nil {
		return fmt.Errorf("wait for %d segments on the wire, while there are %d: %w", count, kept, err)
	}
	return nil
}

// playSleeper accepts nobody before the end of its part, and then as many as
// its duty says.
func playSleeper(ctx context.Context, a *actor) error {
	listener, err := a.listen()
	if err != nil {
		return err
	}
	a.tell(&report{Serving: os.Getpid()})
	<-ctx.Done()
	guests, err := a.acceptSome(context.Background(), listener, a.duty.Count)
	if err != nil {
		return err
	}
	if err := a.leaveAll(guests); err != nil {
		return err
	}
	return listener.close()
}

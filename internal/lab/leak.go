//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Stories of processes that do not close, or cannot open.

func leakStories() []Story {
	return []Story{{
		Name:     "close-wait-leak",
		Doc:      "a server answers and never closes: when the clients have, all its connections stay in CLOSE_WAIT until it exits",
		Rule:     "close-wait-leak",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: []Network{Loopback, Veth},
		Hold:     time.Second,
		MaxHold:  50 * time.Second, // the clients' orphans end after tcp_fin_timeout, 60 s
		together: true,
		cast:     true,
		play:     playLeak,
	}, {
		Name:     "fd-exhaustion",
		Doc:      "a server has descriptors left for two thirds of its clients: accept() fails with EMFILE once for each of the others, until it raises its limit",
		Rule:     "fd-exhaustion",
		Client:   path(opened, closesSecond),
		Server:   path(accepted, closesFirst),
		Networks: []Network{Loopback, Veth},
		together: true,
		cast:     true,
		sysctls:  [][2]string{unhurt},
		play:     playStarved,
	}}
}

func playLeak(ctx context.Context, st *stage) error {
	pairs, err := st.gather(ctx, duty{Part: "leaker"}, message)
	if err != nil {
		return err
	}
	brackets := make([]bracket, len(pairs))
	for i, pr := range pairs {
		brackets[i].begunAfter = time.Now()
		if err := pr.client.close(); err != nil {
			return err
		}
		st.conn(pr).ClientCloserPID = os.Getpid()
	}
	if err := st.await(ctx, census{tcp.FinWait2: st.p.N, tcp.CloseWait: st.p.N}); err != nil {
		return err
	}
	all := time.Now()
	if err := st.theirs(st.p.N); err != nil {
		return err
	}
	if err := st.stay(ctx); err != nil {
		return err
	}
	end := time.Now()
	server := st.processes[0]
	if err := server.end(ctx); err != nil {
		return err
	}
	if err := st.rest(ctx, st.p.N); err != nil {
		return err
	}
	gone := time.Now()
	for i, pr := range pairs {
		b := brackets[i]
		b.begunBefore, b.endedAfter, b.endedBefore = all, end, gone
		st.stayedHalfClosed(pr, b)
		st.conn(pr).ServerCloserPID = server.pid()
	}
	return nil
}

func playStarved(ctx context.Context, st *stage) error {
	spare := max(1, st.p.N/3)
	if err := st.engage(ctx, 1, 1, duty{Part: "starver", Count: st.p.N - spare, Spare: spare}); err != nil {
		return err
	}
	pairs, err := st.approach(ctx, st.p.N, message)
	if err != nil {
		return err
	}
	err = st.told(ctx, "accept() has failed", func(b *book) bool { return len(b.failures) == 1 })
	if err != nil {
		return err
	}
	if err := st.failed(st.book.failures[0]); err != nil {
		return err
	}
	if err := st.theirs(spare); err != nil {
		return err
	}
	if err := st.held(); err != nil {
		return err
	}
	if err := st.processes[0].end(ctx); err != nil {
		return err
	}
	if err := st.farewellHeard(ctx, pairs); err != nil {
		return err
	}
	return st.served(ctx)
}

// farewellHeard is farewell to clients that have yet to hear their answer.
func (st *stage) farewellHeard(ctx context.Context, pairs []*pair) error {
	for _, pr := range pairs {
		if err := pr.client.hear(ctx); err != nil {
			return err
		}
	}
	return st.farewell(ctx, pairs)
}

// playStarver accepts as many clients as its duty says, has no descriptor for
// more, and tries to accept once for each of the others. At the end of its part
// it gets more descriptors and serves all.
func playStarver(ctx context.Context, a *actor) error {
	listener, err := a.listen()
	if err != nil {
		return err
	}
	restore, err := leaveDescriptors(a.duty.Count)
	if err != nil {
		return err
	}
	a.tell(&report{Serving: os.Getpid()})
	guests, err := a.acceptSome(ctx, listener, a.duty.Count)
	if err != nil {
		return err
	}
	if err := a.starve(ctx, listener); err != nil {
		return err
	}
	<-ctx.Done()
	if err := restore(); err != nil {
		return err
	}
	others, err := a.acceptSome(context.Background(), listener, a.duty.Spare)
	if err != nil {
		return err
	}
	return errors.Join(a.leaveAll(append(guests, others...)), listener.close())
}

// acceptSome accepts and answers count clients.
func (a *actor) acceptSome(ctx context.Context, listener *socket, count int) ([]*guest, error) {
	guests := make([]*guest, count)
	for i := range guests {
		g, err := a.accept(ctx, listener)
		if err != nil {
			return nil, err
		}
		if g == nil {
			return nil, fmt.Errorf("the part ended with %d of %d clients", i, count)
		}
		if err := g.answer(); err != nil {
			return nil, err
		}
		a.tell(&report{Conn: &g.truth})
		guests[i] = g
	}
	return guests, nil
}

// starve fails to accept, once for each client to spare, and tells of it.
func (a *actor) starve(ctx context.Context, listener *socket) error {
	for range a.duty.Spare {
		if err := listener.wait(ctx, unix.POLLIN); err != nil {
			return fmt.Errorf("wait for a client: %w", err)
		}
		if _, err := listener.accept(ctx); !errors.Is(err, unix.EMFILE) {
			return fmt.Errorf("accept: %v instead of EMFILE", err)
		}
	}
	a.tell(&report{Failure: &Failure{Op: "accept", Errno: "EMFILE", PID: os.Getpid(), Comm: a.comm, Count: a.duty.Spare}})
	return nil
}

// leaveDescriptors lowers RLIMIT_NOFILE so that just count more descriptors can
// be opened. restore raises it again.
func leaveDescriptors(count int) (restore func() error, err error) {
	old, err := descriptorLimit()
	if err != nil {
		return nil, err
	}
	limit := 0
	for free := 0; ; limit++ {
		if _, err := unix.FcntlInt(uintptr(limit), unix.F_GETFD, 0); err == nil {
			continue // it is in use
		}
		if free == count {
			break
		}
		free++
	}
	set := func(cur uint64) error {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: cur, Max: old.Max}); err != nil {
			return fmt.Errorf("set RLIMIT_NOFILE to %d: %w", cur, err)
		}
		return nil
	}
	return func() error { return set(old.Cur) }, set(uint64(limit))
}

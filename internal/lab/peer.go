//go:build linux

package lab

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Stories of a peer whose host is gone: nothing tells of it, and nothing comes
// back any more.

// The clients' limits, of options that they set themselves.
const (
	probeLimit   = 3 * time.Second // TCP_KEEPIDLE 1 s and TCP_KEEPCNT 2 probes, TCP_KEEPINTVL 1 s for each
	unackedLimit = 2 * time.Second // TCP_USER_TIMEOUT
)

func peerStories() []Story {
	dead := Story{
		Rule:     "dead-peer",
		Client:   path(opened, aborted),
		Server:   path(accepted, aborted),
		Networks: []Network{Wire},
		together: true,
	}
	alive, writing, idle, unasked := dead, dead, dead, dead
	alive.Name = "dead-peer-keepalive"
	alive.Doc = "the servers' host crashes, and the clients' keepalive, 1 s and 2 probes, ends the connections after 3 s (ETIMEDOUT)"
	alive.Takes = probeLimit
	alive.play = playKeepaliveEnds
	writing.Name = "dead-peer-retransmit"
	writing.Doc = "the servers' host crashes, and the clients write: their retransmits end after TCP_USER_TIMEOUT, 2 s (ETIMEDOUT)"
	writing.Takes = unackedLimit
	writing.play = playRetransmitsEnd
	idle.Name = "dead-peer-idle"
	idle.Doc = "the servers' host crashes and comes back, and the clients, who have no keepalive, notice nothing until they write: RST"
	idle.Hold = 2 * time.Second
	idle.play = playDeadIdle
	unasked.Name = "dead-peer-unasked"
	unasked.Doc = "the same, and it is held once the clients have heard nothing for longer than tcp_keepalive_time, 1 s"
	unasked.Hold = 1500 * time.Millisecond
	unasked.MinHold = 1100 * time.Millisecond
	unasked.sysctls = [][2]string{{"net.ipv4.tcp_keepalive_time", "1"}}
	unasked.play = playUnasked
	return []Story{alive, writing, idle, unasked}
}

// crash opens N connections, prepares each client, and lets the servers' host
// vanish. It returns when the first connection was begun.
func (st *stage) crash(ctx context.Context, prepare func(*socket) error) ([]*pair, time.Time, error) {
	began := time.Now()
	pairs, err := st.openSettled(ctx)
	if err != nil {
		return nil, began, err
	}
	for _, pr := range pairs {
		if err := prepare(pr.client); err != nil {
			return nil, began, err
		}
	}
	st.net.wire.setRule(func(*wire, segment) {})
	for _, pr := range pairs {
		if err := pr.server.vanish(); err != nil {
			return nil, began, err
		}
	}
	if err := st.await(ctx, census{tcp.Established: st.p.N}); err != nil {
		return nil, began, err
	}
	return pairs, began, st.ours(st.p.N)
}

// givenUpAfter waits until the kernel has given all connections up, each of
// which was ESTABLISHED for limit at least.
func (st *stage) givenUpAfter(ctx context.Context, pairs []*pair, began time.Time, limit time.Duration) error {
	for _, pr := range pairs {
		if err := pr.client.hearTimeout(ctx); err != nil {
			return err
		}
		b := bracket{begunAfter: began, endedBefore: time.Now()}
		st.ended(pr, "timeout", "").ClientStays = []Stay{b.atLeast(limit-3*tick, tcp.Established)}
		if err := pr.client.close(); err != nil {
			return err
		}
	}
	return st.await(ctx, census{})
}

func playKeepaliveEnds(ctx context.Context, st *stage) error {
	pairs, began, err := st.crash(ctx, probePeer)
	if err != nil {
		return err
	}
	if err := st.held(); err != nil {
		return err
	}
	return st.givenUpAfter(ctx, pairs, began, probeLimit)
}

func probePeer(k *socket) error {
	for _, option := range []struct{ level, name, value int }{
		{unix.SOL_TCP, unix.TCP_KEEPIDLE, 1},
		{unix.SOL_TCP, unix.TCP_KEEPINTVL, 1},
		{unix.SOL_TCP, unix.TCP_KEEPCNT, 2},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
	} {
		if err := k.set(option.level, option.name, option.value); err != nil {
			return err
		}
	}
	return nil
}

func playRetransmitsEnd(ctx context.Context, st *stage) error {
	pairs, began, err := st.crash(ctx, func(k *socket) error {
		return k.set(unix.SOL_TCP, unix.TCP_USER_TIMEOUT, int(unackedLimit.Milliseconds()))
	})
	if err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := pr.client.say(); err != nil {
			return err
		}
	}
	if err := st.held(); err != nil {
		return err
	}
	return st.givenUpAfter(ctx, pairs, began, unackedLimit)
}

func playDeadIdle(ctx context.Context, st *stage) error {
	pairs, _, err := st.crash(ctx, func(*socket) error { return nil })
	if err != nil {
		return err
	}
	if err := st.stay(ctx); err != nil {
		return err
	}
	return st.findOut(ctx, pairs)
}

func playUnasked(ctx context.Context, st *stage) error {
	pairs, _, err := st.crash(ctx, func(*socket) error { return nil })
	if err != nil {
		return err
	}
	if err := sleep(ctx, st.p.Hold); err != nil {
		return err
	}
	if err := st.held(); err != nil {
		return err
	}
	return st.findOut(ctx, pairs)
}

// findOut has the servers' host come back, and the clients write to it: RST.
func (st *stage) findOut(ctx context.Context, pairs []*pair) error {
	st.net.wire.setRule(nil)
	for _, pr := range pairs {
		if err := pr.client.say(); err != nil {
			return err
		}
		if err := pr.client.hearReset(ctx); err != nil {
			return err
		}
		st.ended(pr, "reset_received", "")
		if err := pr.client.close(); err != nil {
			return err
		}
	}
	return st.await(ctx, census{})
}

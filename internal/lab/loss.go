//go:build linux

package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A lossPlan says which segments the wire loses. What is sent again, and how
// often, is the kernels' own doing: where this process gets no processor for a
// while, it may be more than the plan brings about. So the wire counts.
type lossPlan struct {
	lose func(sending) bool
	play func(context.Context, *stage, []*pair) error

	// What the plan brings about, if nothing else does.
	client, server Resent
}

// A sending is a segment that entered the wire.
type sending struct {
	segment
	nth   int // sending of this sequence number with these flags, from 1
	data  int // of segments with data that its end has sent, each counted once, this is the data-th
	again int // segments with data that its peer has sent again so far
}

func (s sending) fromClient() bool { return s.from == clientSide }
func (s sending) isData() bool     { return s.payload > 0 }
func (s sending) isSYN() bool      { return s.is(flagSYN, flagSYN|flagACK) }
func (s sending) isSYNACK() bool   { return s.is(flagSYN|flagACK, flagSYN|flagACK) }
func (s sending) isFIN() bool      { return s.flags&flagFIN != 0 && s.payload == 0 }
func (s sending) isACK() bool      { return s.payload == 0 && s.flags&(flagSYN|flagFIN|flagRST) == 0 }

// lossStories lose segments on the wire that are chosen, and so know of each
// copy that either end sends. How many there are is left to chance where the
// machine is busy, so Stories does not list them.
func lossStories() []Story {
	plans := lossPlans()
	fin := path(opened, closesFirst)
	story := func(name, doc string, takes time.Duration) Story {
		plan := plans[name]
		return Story{
			Name: name, Doc: doc, Takes: takes,
			Client: fin, Server: path(accepted, closesSecond),
			Networks: []Network{Wire}, together: true,
			sysctls: [][2]string{{"?net.ipv4.tcp_syn_linear_timeouts", "0"}},
			play:    plan.run, resent: [2]Resent{plan.client, plan.server},
		}
	}
	dead := story("loss-dead", "an established client's peer is gone: it sends again three times and gives up (tcp_retries2 3)", 3*time.Second)
	dead.Client = path(opened, []tcp.State{tcp.Close})
	dead.Server = path(accepted, []tcp.State{tcp.Close})
	dead.sysctls = append(dead.sysctls, [2]string{"net.ipv4.tcp_retries2", "3"})
	return []Story{
		story("loss-tail", "what the client says is lost three times, what the server answers once: loss probe and timeouts", time.Second),
		story("loss-middle", "of ten segments that the client sends at once the third is lost: fast retransmit", 0),
		story("loss-acks", "nothing is lost but the server's acknowledgements, until the client has sent everything four times", time.Second),
		story("loss-fin", "the client's FIN is lost twice", time.Second),
		story("loss-syn", "the client's SYN is lost once", time.Second),
		story("loss-synack", "the server's SYN-ACK is lost once, and the client's SYN is not sent again", time.Second),
		dead,
		story("loss-some", "one of 14 segments is lost, while either end sends 64 KiB", 2*time.Second),
	}
}

func lossPlans() map[string]*lossPlan {
	return map[string]*lossPlan{
		"loss-tail": {
			lose: func(s sending) bool {
				return s.isData() && (s.fromClient() && s.nth <= 3 || !s.fromClient() && s.nth <= 1)
			},
			play:   playTail,
			client: Resent{Data: 3}, server: Resent{Data: 1},
		},
		"loss-middle": {
			lose:   func(s sending) bool { return s.fromClient() && s.data == 3 && s.nth == 1 },
			play:   playMiddle,
			client: Resent{Data: 1},
		},
		"loss-acks": {
			lose:   func(s sending) bool { return !s.fromClient() && s.isACK() && s.again < 3 },
			play:   playUnacknowledged,
			client: Resent{Data: 3},
		},
		"loss-fin": {
			lose:   func(s sending) bool { return s.fromClient() && s.isFIN() && s.nth <= 2 },
			client: Resent{FIN: 2},
		},
		"loss-syn": {
			lose:   func(s sending) bool { return s.isSYN() && s.nth == 1 },
			client: Resent{SYN: 1},
		},
		"loss-synack": {
			lose:   func(s sending) bool { return s.isSYNACK() && s.nth == 1 || s.isSYN() && s.nth > 1 },
			server: Resent{SYNACK: 1}, // and a SYN, where the client's timer runs out first
		},
		"loss-dead": {
			lose:   func(s sending) bool { return true },
			play:   playDead,
			client: Resent{Data: 4},
		},
		"loss-some": {
			lose: func(s sending) bool { return s.isData() && lot(s)%lossOneIn == 0 },
			play: playSome,
		},
	}
}

// lot draws a number that depends on the segment and the sending alone.
func lot(s sending) uint32 {
	x := s.seq ^ uint32(s.src.Port())<<16 ^ uint32(s.dst.Port()) ^ uint32(s.nth)<<7
	x = (x ^ x>>16) * 0x45d9f3b
	x = (x ^ x>>16) * 0x45d9f3b
	return x ^ x>>16
}

// run plays a story of loss: connections that open, lose something, and end.
// Where the plan has no play, what is lost is part of opening and closing.
func (p *lossPlan) run(ctx context.Context, st *stage) error {
	l := newLossWatch()
	lose := p.lose
	if p.play != nil {
		lose = nil // until all are open
	}
	st.net.wire.lose(l, lose)
	if err := st.listen(); err != nil {
		return err
	}
	pairs, err := st.openTogether(ctx)
	if err != nil {
		return err
	}
	if p.play != nil {
		st.net.wire.lose(l, p.lose)
		if err := p.play(ctx, st, pairs); err != nil {
			return err
		}
	}
	if st.story.Client[len(st.story.Client)-2] == tcp.TimeWait {
		if err := st.endTogether(ctx, pairs); err != nil {
			return err
		}
	}
	st.net.wire.locked(func() {
		for i := range st.truth.Conns {
			c := &st.truth.Conns[i]
			if f := l.flows[c.flow()]; f != nil {
				c.ClientResent, c.ServerResent = f[clientSide].resent, f[serverSide].resent
			}
		}
	})
	return st.held()
}

// openTogether opens N connections whose SYNs are all under way at once. Both
// ends of each have spoken then, and know it.
func (st *stage) openTogether(ctx context.Context) ([]*pair, error) {
	pairs, _, err := st.beginAll()
	if err != nil {
		return nil, err
	}
	for _, pr := range pairs {
		if err := pr.client.finishConnect(ctx); err != nil {
			return nil, err
		}
	}
	if err := st.accept(ctx, pairs); err != nil {
		return nil, err
	}
	for _, pr := range pairs {
		if err := pr.exchange(ctx); err != nil {
			return nil, err
		}
		if err := pr.settle(ctx); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

// endTogether closes all connections, the clients first.
func (st *stage) endTogether(ctx context.Context, pairs []*pair) error {
	for _, pr := range pairs {
		if err := pr.client.close(); err != nil {
			return err
		}
	}
	for _, pr := range pairs {
		if err := pr.server.hearEnd(ctx); err != nil {
			return err
		}
		if err := pr.server.close(); err != nil {
			return err
		}
		st.ended(pr, "fin", "fin")
	}
	return st.rest(ctx, len(pairs))
}

func playTail(ctx context.Context, _ *stage, pairs []*pair) error {
	for _, pr := range pairs {
		if err := pr.client.say(); err != nil {
			return err
		}
	}
	for _, pr := range pairs {
		if err := pr.server.hear(ctx); err != nil {
			return err
		}
		if err := pr.settle(ctx); err != nil { // before the answer, which would carry the ACK
			return err
		}
	}
	for _, pr := range pairs {
		if err := pr.server.say(); err != nil {
			return err
		}
	}
	return allHear(ctx, pairs, func(pr *pair) *socket { return pr.client })
}

// allHear waits until that end of each pair has heard what was said, and the
// other knows.
func allHear(ctx context.Context, pairs []*pair, end func(*pair) *socket) error {
	for _, pr := range pairs {
		if err := end(pr).hear(ctx); err != nil {
			return err
		}
		if err := pr.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

// segmentsAtOnce is what the first congestion window has room for.
const segmentsAtOnce = 10

func playMiddle(ctx context.Context, _ *stage, pairs []*pair) error {
	for _, pr := range pairs {
		size, err := unix.GetsockoptInt(pr.client.fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG)
		if err != nil {
			return fmt.Errorf("read TCP_MAXSEG: %w", err)
		}
		if err := transfer(ctx, pr.client, pr.server, segmentsAtOnce*size); err != nil {
			return err
		}
		if err := pr.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

func playUnacknowledged(ctx context.Context, _ *stage, pairs []*pair) error {
	for _, pr := range pairs {
		if err := pr.client.say(); err != nil {
			return err
		}
	}
	return allHear(ctx, pairs, func(pr *pair) *socket { return pr.server })
}

func playDead(ctx context.Context, st *stage, pairs []*pair) error {
	for _, pr := range pairs {
		if err := pr.client.say(); err != nil {
			return err
		}
	}
	for _, pr := range pairs {
		if err := pr.client.wait(ctx, unix.POLLIN); err != nil {
			return err
		}
		if _, err := pr.client.read(ctx); !errors.Is(err, unix.ETIMEDOUT) {
			return fmt.Errorf("read from a peer that is gone: %w instead of ETIMEDOUT", cmp.Or(err, errors.New("no error")))
		}
		if err := errors.Join(pr.client.close(), pr.server.abort()); err != nil {
			return err
		}
		st.ended(pr, "timeout", "reset_sent")
	}
	return st.await(ctx, census{})
}

func playSome(ctx context.Context, _ *stage, pairs []*pair) error {
	errs := make([]error, len(pairs))
	var all sync.WaitGroup
	for i, pr := range pairs {
		all.Go(func() {
			errs[i] = cmp.Or(
				transfer(ctx, pr.client, pr.server, 64<<10),
				transfer(ctx, pr.server, pr.client, 64<<10),
				pr.settle(ctx),
			)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// Plans returns what a story of loss brings about at either end of each
// connection, if nothing else delays a segment. ok is false for other stories.
func (s Story) Plans() (client, server Resent, ok bool) {
	return s.resent[clientSide], s.resent[serverSide], s.resent != [2]Resent{}
}

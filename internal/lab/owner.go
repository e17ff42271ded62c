//go:build linux

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// crowd is how many clients are there at a time, where not all are.
const crowd = 16

// ownerStories are about processes: who opens, accepts, reads and closes.
func ownerStories() []Story {
	served := func(name, doc string, listeners, serving int, more ...duty) Story {
		return Story{
			Name:     name,
			Doc:      doc,
			Client:   path(opened, closesSecond),
			Server:   path(accepted, closesFirst),
			Networks: []Network{Loopback, Veth},
			cast:     true,
			play: func(ctx context.Context, st *stage) error {
				return st.playServed(ctx, listeners, serving, more...)
			},
		}
	}
	return []Story{
		served("prefork", "a server listens, and 4 child processes accept, answer and close", 1, workers, duty{Part: "prefork"}),
	}
}

// playServed has a crowd of clients after the other served by actors.
func (st *stage) playServed(ctx context.Context, listeners, serving int, duties ...duty) error {
	if err := st.engage(ctx, listeners, serving, duties...); err != nil {
		return err
	}
	for made := 0; made < st.p.N; made += crowd {
		if err := st.crowd(ctx, min(crowd, st.p.N-made)); err != nil {
			return err
		}
	}
	return st.served(ctx, census{tcp.TimeWait: st.p.N})
}

// engage starts actors as servers, and waits until they listen and serve.
func (st *stage) engage(ctx context.Context, listeners, serving int, duties ...duty) error {
	for _, d := range duties {
		d.Addr = st.serverAddr()
		if _, err := st.act(st.net.server, d); err != nil {
			return err
		}
	}
	err := st.told(ctx, "the servers serve", func(b *book) bool {
		return len(b.listeners) == listeners && b.serving == serving
	})
	for _, l := range st.book.listeners {
		l.NetNS, l.States = st.net.server.inode, listening
		st.truth.Listeners = append(st.truth.Listeners, l)
	}
	return err
}

// crowd lets n clients ask, and close when the server has answered and closed.
func (st *stage) crowd(ctx context.Context, n int) error {
	pairs, err := st.approach(ctx, n)
	if err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := pr.client.hear(ctx); err != nil {
			return err
		}
		if err := st.farewell(ctx, pr); err != nil {
			return err
		}
	}
	return nil
}

// approach connects n clients, each of which asks.
func (st *stage) approach(ctx context.Context, n int) ([]*pair, error) {
	pairs := make([]*pair, n)
	for i := range pairs {
		var err error
		if pairs[i], err = st.begin(netip.AddrPort{}, st.serverAddr()); err != nil {
			return nil, err
		}
	}
	for _, pr := range pairs {
		if err := pr.client.finishConnect(ctx); err != nil {
			return nil, err
		}
		if err := pr.client.say(); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

// farewell closes the client's end when the server has closed its own.
func (st *stage) farewell(ctx context.Context, pr *pair) error {
	if err := pr.client.hearEnd(ctx); err != nil {
		return err
	}
	c := st.ended(pr, "fin", "fin")
	c.TimeWaitCause, c.ClientCloserPID = "netns_exit", os.Getpid()
	return pr.client.close()
}

// served waits until all connections have ended, want is what is left of them,
// and the servers have told of each.
func (st *stage) served(ctx context.Context, want census) error {
	if err := st.await(ctx, want); err != nil {
		return err
	}
	return st.told(ctx, "every connection was served", func(b *book) bool { return len(b.conns) == len(st.truth.Conns) })
}

// dismiss ends the actors that still play, and completes the truth by what
// they have told.
func (st *stage) dismiss(ctx context.Context) error {
	for _, p := range st.processes {
		if err := p.end(ctx); err != nil {
			return err
		}
	}
	return st.learn()
}

// learn completes the truth by what the actors have told.
func (st *stage) learn() error {
	st.book.mu.Lock()
	defer st.book.mu.Unlock()
	if st.book.conns == nil {
		return nil
	}
	for i := range st.truth.Conns {
		c := &st.truth.Conns[i]
		told := st.book.conns[c.Client]
		if told == nil {
			return fmt.Errorf("connection %v: no process tells of it", c.Client)
		}
		c.learn(told)
	}
	return nil
}

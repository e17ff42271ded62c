//go:build linux

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
)

// crowd is how many clients are there at a time, where not all are.
const crowd = 16

// unhurt lets TIME_WAIT outlast a RST. Where the ends run on two processors, the
// last ACK of one may overtake an earlier one, which then meets TIME_WAIT; that
// answers, its answer finds no socket, and a RST comes back.
var unhurt = [2]string{"net.ipv4.tcp_rfc1337", "1"}

// ownerStories are about processes: who opens, accepts, reads and closes.
func ownerStories() []Story {
	stories := []Story{
		served("prefork", "a server listens, and 4 child processes accept, answer and close", 1, workers,
			duty{Part: "prefork"}),
		served("threads", "4 threads of a server accept, answer and close", 1, workers,
			duty{Part: "threads"}),
		served("goroutines", "a Go server accepts, and a goroutine for each connection answers and closes", 1, 1,
			duty{Part: "goroutines"}),
		served("reuseport", "4 servers listen on one address with SO_REUSEPORT, accept, answer and close", workers, workers,
			duty{Part: "reuseport"}, duty{Part: "reuseport"}, duty{Part: "reuseport"}, duty{Part: "reuseport"}),
		served("fd-passing", "a server accepts, and passes the descriptor to another process, which answers and closes", 1, 1,
			duty{Part: "passer"}),
		served("fork-handover", "a server accepts, and a child process for each connection answers and closes", 1, 1,
			duty{Part: "forker"}),
		served("io-uring-accept", "a server accepts, reads, writes and closes by io_uring alone", 1, 1,
			duty{Part: "ringer"}),
	}
	stories[len(stories)-1].needs = hasURing
	return append(stories, httpStory(), writesFirstStory(), processExitStory(), processKilledStory(), idleStory())
}

// served makes a story of so many listeners, and so many threads or processes
// that serve.
func served(name, doc string, listeners, serving int, duties ...duty) Story {
	return Story{
		Name:     name,
		Doc:      doc,
		Client:   path(opened, closesSecond),
		Server:   path(accepted, closesFirst),
		Networks: []Network{Loopback, Veth},
		cast:     true,
		sysctls:  [][2]string{unhurt},
		play: func(ctx context.Context, st *stage) error {
			return st.playServed(ctx, listeners, serving, duties...)
		},
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
	return st.served(ctx)
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
	if err != nil {
		return err
	}
	return st.introduce()
}

// introduce enters the actors' listeners into the truth.
func (st *stage) introduce() (err error) {
	for _, l := range st.book.listeners {
		l.NetNS, l.States = st.net.server.inode, listening
		if l.Cookie == 0 { // a Go server's
			if l.Cookie, err = st.net.server.listenerCookie(l.Addr.Port()); err != nil {
				return err
			}
		}
		st.truth.Listeners = append(st.truth.Listeners, l)
	}
	return nil
}

// crowd lets n clients ask, and close when the server has answered and closed.
func (st *stage) crowd(ctx context.Context, n int) error {
	pairs, err := st.approach(ctx, n, message)
	if err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := pr.client.hear(ctx); err != nil {
			return err
		}
	}
	return st.farewell(ctx, pairs)
}

// approach connects n clients, each of which says words, if there are any.
func (st *stage) approach(ctx context.Context, n int, words string) ([]*pair, error) {
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
		if words == "" {
			continue
		}
		if err := pr.client.write(words); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

// farewell closes the clients' ends when the server has closed its own.
func (st *stage) farewell(ctx context.Context, pairs []*pair) error {
	for _, pr := range pairs {
		if err := pr.client.hearEnd(ctx); err != nil {
			return err
		}
		c := st.ended(pr, "fin", "fin")
		c.TimeWaitCause, c.ClientCloserPID = "netns_exit", os.Getpid()
		if err := pr.client.close(); err != nil {
			return err
		}
	}
	return nil
}

// served waits until nothing but TIME_WAIT is left, and the servers have told
// of the end of every connection.
func (st *stage) served(ctx context.Context) error {
	if err := st.rest(ctx, st.p.N); err != nil {
		return err
	}
	return st.told(ctx, "every connection was closed by a server", func(b *book) bool {
		return b.count(func(c *TruthConn) bool { return c.ServerCloserPID != 0 }) == len(st.truth.Conns)
	})
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
		if c.unserved {
			continue
		}
		if told == nil {
			return fmt.Errorf("connection %v: no process tells of it", c.Client)
		}
		c.learn(told)
	}
	return nil
}

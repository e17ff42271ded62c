//go:build linux

package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Stories whose connections stay open for a while.

func httpStory() Story {
	s := served("http", "a Go net/http server; each client sends 3 requests on one connection, which it keeps alive", 1, 1)
	s.play = playKeepAlive
	return s
}

// playKeepAlive has a crowd of HTTP clients after the other, whose requests mix.
func playKeepAlive(ctx context.Context, st *stage) error {
	if err := st.engage(ctx, 1, 1, duty{Part: "http"}); err != nil {
		return err
	}
	request := fmt.Sprintf("GET / HTTP/1.1\r\nHost: %v\r\n\r\n", st.serverAddr())
	last := fmt.Sprintf("GET / HTTP/1.1\r\nHost: %v\r\nConnection: close\r\n\r\n", st.serverAddr())
	for made := 0; made < st.p.N; made += crowd {
		pairs, err := st.approach(ctx, min(crowd, st.p.N-made), request)
		if err != nil {
			return err
		}
		for _, next := range []string{request, last} {
			for _, pr := range pairs {
				if err := st.fetched(ctx, pr); err != nil {
					return err
				}
				if err := pr.client.write(next); err != nil {
					return err
				}
			}
		}
		for _, pr := range pairs {
			if err := st.fetched(ctx, pr); err != nil {
				return err
			}
		}
		if err := st.farewell(ctx, pairs); err != nil {
			return err
		}
	}
	return st.served(ctx)
}

// fetched reads a response, which is the PID of the process that read the
// request.
func (st *stage) fetched(ctx context.Context, pr *pair) error {
	response, err := http.ReadResponse(bufio.NewReader(&stream{ctx, pr.client}), nil)
	if err != nil {
		return fmt.Errorf("read a response: %w", err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("read a response: %w", err)
	}
	if st.conn(pr).ReaderPID, err = strconv.Atoi(string(body)); err != nil {
		return fmt.Errorf("read a response: %w", err)
	}
	return nil
}

// A stream is a socket to read from.
type stream struct {
	ctx context.Context
	k   *socket
}

func (s *stream) Read(b []byte) (int, error) {
	n, err := s.k.readInto(s.ctx, b)
	if err == nil && n == 0 {
		err = io.EOF
	}
	return n, err
}

func writesFirstStory() Story {
	return Story{
		Name:     "writes-first",
		Doc:      "a server writes, never reads, and closes all connections at the end",
		Client:   path(opened, closesSecond),
		Server:   path(accepted, closesFirst),
		Networks: []Network{Loopback, Veth},
		together: true,
		cast:     true,
		sysctls:  [][2]string{unhurt},
		play: func(ctx context.Context, st *stage) error {
			return st.playHeld(ctx, duty{Part: "greeter"}, "")
		},
	}
}

func processExitStory() Story {
	return Story{
		Name:     "process-exit",
		Doc:      "a server exits and leaves the closing to the kernel",
		Client:   path(opened, closesSecond),
		Server:   path(accepted, closesFirst),
		Networks: []Network{Loopback, Veth},
		together: true,
		cast:     true,
		sysctls:  [][2]string{unhurt},
		play: func(ctx context.Context, st *stage) error {
			return st.playHeld(ctx, duty{Part: "exiter"}, message)
		},
	}
}

// playHeld ends the server when all connections are open, with what it has of
// them.
func (st *stage) playHeld(ctx context.Context, d duty, words string) error {
	pairs, err := st.hold(ctx, d, words)
	if err != nil {
		return err
	}
	server := st.processes[0]
	if err := server.end(ctx); err != nil {
		return err
	}
	for _, pr := range pairs {
		st.conn(pr).ServerCloserPID = server.pid()
	}
	if err := st.farewell(ctx, pairs); err != nil {
		return err
	}
	return st.rest(ctx, st.p.N)
}

// hold opens all connections to a server that keeps them, which is the state
// that the story is about.
func (st *stage) hold(ctx context.Context, d duty, words string) ([]*pair, error) {
	pairs, err := st.gather(ctx, d, words)
	if err != nil {
		return nil, err
	}
	return pairs, st.held()
}

// gather opens all connections and waits until the server has told of each.
func (st *stage) gather(ctx context.Context, d duty, words string) ([]*pair, error) {
	if err := st.engage(ctx, 1, 1, d); err != nil {
		return nil, err
	}
	pairs, err := st.approach(ctx, st.p.N, words)
	if err != nil {
		return nil, err
	}
	for _, pr := range pairs {
		if err := pr.client.hear(ctx); err != nil {
			return nil, err
		}
	}
	err = st.told(ctx, "every connection was accepted", func(b *book) bool { return len(b.conns) == len(pairs) })
	if err != nil {
		return nil, err
	}
	return pairs, st.learn()
}

func processKilledStory() Story {
	return Story{
		Name:     "process-killed",
		Doc:      "a server is killed by SIGKILL, with data unread: the kernel sends RSTs",
		Client:   path(opened, aborted),
		Server:   path(accepted, aborted),
		Networks: []Network{Loopback, Veth},
		together: true,
		cast:     true,
		play:     playKilled,
	}
}

func playKilled(ctx context.Context, st *stage) error {
	pairs, err := st.hold(ctx, duty{Part: "exiter"}, message)
	if err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := pr.client.say(); err != nil {
			return err
		}
	}
	for _, pr := range pairs {
		if err := poll(ctx, pr.client.acknowledged); err != nil {
			return err
		}
	}
	server := st.processes[0]
	if err := server.kill(ctx); err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := pr.client.hearReset(ctx); err != nil {
			return err
		}
		if err := pr.client.close(); err != nil {
			return err
		}
		st.ended(pr, "reset_received", "reset_sent").ServerCloserPID = server.pid()
	}
	return st.await(ctx, census{})
}

func idleStory() Story {
	return Story{
		Name: "idle",
		Doc: "4 processes open many connections to 4 others and leave them idle for a while, then close; " +
			"for a tracer that starts in the middle",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: []Network{Loopback, Veth},
		Hold:     time.Second,
		Count:    10_007,
		Most:     20_000,
		together: true,
		spread:   true,
		cast:     true,
		sysctls:  [][2]string{unhurt, {"net.ipv4.tcp_max_tw_buckets", "1048576"}},
		play:     playIdle,
	}
}

func playIdle(ctx context.Context, st *stage) error {
	if err := st.engage(ctx, 1, min(workers, st.p.N), duty{Part: "idle", Count: st.p.N}); err != nil {
		return err
	}
	server := st.processes[0]
	var openers []*process
	for i := range workers {
		d := duty{Part: "opener", Addr: st.serverAddr(), Count: share(st.p.N, i)}
		p, err := st.act(st.net.client, d)
		if err != nil {
			return err
		}
		openers = append(openers, p)
	}
	err := st.told(ctx, "all connections are open", func(b *book) bool {
		return b.count(func(c *TruthConn) bool { return c.ClientPID != 0 && c.AccepterPID != 0 }) == st.p.N
	})
	if err != nil {
		return err
	}
	if err := st.adopt(); err != nil {
		return err
	}
	if err := st.stay(ctx); err != nil {
		return err
	}
	for _, p := range openers {
		if err := p.end(ctx); err != nil {
			return err
		}
	}
	if err := st.await(ctx, census{tcp.CloseWait: st.p.N, tcp.FinWait2: st.p.N}); err != nil {
		return err
	}
	if err := server.end(ctx); err != nil {
		return err
	}
	return st.served(ctx)
}

// adopt enters the connections that the openers told of into the truth.
func (st *stage) adopt() error {
	for _, client := range st.book.order {
		st.truth.Conns = append(st.truth.Conns, TruthConn{
			Client:        client,
			Server:        st.serverAddr(),
			ClientNetNS:   st.net.client.inode,
			ServerNetNS:   st.net.server.inode,
			ClientStates:  names(st.story.Client),
			ServerStates:  names(st.story.Server),
			TimeWaitCause: "netns_exit",
			ClientEnd:     "fin",
			ServerEnd:     "fin",
		})
	}
	return st.learn()
}

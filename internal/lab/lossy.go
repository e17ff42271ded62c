//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// lossyStories leave to chance through which states a connection goes, and
// how often a segment is sent again. So no test can play them as one of many:
// Stories does not list them, but Lookup knows them.
func lossyStories() []Story {
	return []Story{{
		Name:     "lossy",
		Doc:      "one of 14 packets is lost either way, while connections end in seven ways: by FIN, by RST, refused, unanswered",
		Client:   []tcp.State{tcp.Close, tcp.SynSent, tcp.Close},
		Networks: []Network{Veth},
		Takes:    10 * time.Second,
		Count:    211,
		Most:     1009,
		together: true,
		sysctls:  [][2]string{{"net.ipv4.tcp_syn_retries", "2"}, {"?net.ipv4.tcp_syn_linear_timeouts", "0"}, {"net.ipv4.tcp_synack_retries", "2"}},
		play:     playLossy,
	}}
}

const (
	lossOneIn   = 14   // packets: 7 %
	silentPort  = 9    // no packet to it arrives
	refusedPort = 8081 // nobody listens
	bulk        = 192 << 10
	lossyAtOnce = 48 // connections under way
)

// lossy is a run of the story. Its connections live in goroutines.
type lossy struct {
	st *stage

	mu       sync.Mutex // guards the stage, and what follows
	accepted map[netip.AddrPort]*socket
	failed   error
}

func playLossy(ctx context.Context, st *stage) error {
	filters, err := st.loseSome()
	if err != nil {
		return err
	}
	if err := st.listen(); err != nil {
		return err
	}
	l := &lossy{st: st, accepted: map[netip.AddrPort]*socket{}}
	if err := l.run(ctx); err != nil {
		return err
	}
	if err := l.settle(ctx); err != nil {
		return err
	}
	if err := st.held(); err != nil {
		return err
	}
	var errs []error
	for _, f := range filters {
		errs = append(errs, f.remove())
	}
	return errors.Join(errs...)
}

// loseSome sets up the loss.
func (st *stage) loseSome() ([]*packetFilter, error) {
	var filters []*packetFilter
	for _, ns := range st.net.namespaces() {
		f, err := newPacketFilter(ns)
		if err != nil {
			return nil, err
		}
		f.drop(toPort(silentPort)...)
		f.drop(oneIn(lossOneIn)...)
		if err := f.apply(); err != nil {
			return nil, err
		}
		filters = append(filters, f)
	}
	return filters, nil
}

// run plays all connections.
func (l *lossy) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var helpers, plays sync.WaitGroup
	defer helpers.Wait()
	defer stop()
	helpers.Go(func() { l.fail(l.acceptAll(ctx), stop) })
	room := make(chan struct{}, lossyAtOnce)
	for i := range l.st.p.N {
		room <- struct{}{}
		plays.Go(func() {
			defer func() { <-room }()
			if err := l.play(ctx, i); err != nil {
				l.fail(fmt.Errorf("connection %d, %s: %w", i, lossyWays[i%len(lossyWays)].name, err), stop)
			}
		})
	}
	plays.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

func (l *lossy) fail(err error, stop func()) {
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = err
	}
	stop()
}

// acceptAll accepts until ctx is done.
func (l *lossy) acceptAll(ctx context.Context) error {
	for {
		k, err := l.st.listener.accept(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		from, err := k.remote()
		l.mu.Lock()
		l.st.sockets = append(l.st.sockets, k)
		if err == nil {
			l.accepted[from] = k
		}
		l.mu.Unlock()
		if err != nil && !errors.Is(err, unix.ENOTCONN) { // it was reset before it was accepted
			return err
		}
	}
}

// A lossyWay is how a connection of the story goes.
type lossyWay struct {
	name string
	to   uint16 // port
	err  error  // of connect()
	play func(ctx context.Context, client, server *socket) error
}

var lossyWays = []lossyWay{
	{"client first", serverPort, nil, func(ctx context.Context, client, server *socket) error {
		return closeBoth(ctx, client, server)
	}},
	{"server first", serverPort, nil, func(ctx context.Context, client, server *socket) error {
		return closeBoth(ctx, server, client)
	}},
	{"linger", serverPort, nil, func(ctx context.Context, client, server *socket) error {
		if err := client.abort(); err != nil {
			return err
		}
		return server.provoke(ctx)
	}},
	{"unread", serverPort, nil, func(ctx context.Context, client, server *socket) error {
		if err := server.say(); err != nil {
			return err
		}
		if err := client.wait(ctx, unix.POLLIN); err != nil {
			return err
		}
		if err := client.close(); err != nil {
			return err
		}
		return server.provoke(ctx)
	}},
	{"bulk", serverPort, nil, func(ctx context.Context, client, server *socket) error {
		if err := transfer(ctx, client, server, bulk); err != nil {
			return err
		}
		return closeBoth(ctx, client, server)
	}},
	{"refused", refusedPort, unix.ECONNREFUSED, nil},
	{"unanswered", silentPort, unix.ETIMEDOUT, nil},
}

// play plays one connection. Where SYNs are lost by chance, connect() may time
// out that should not, and so may a refused one.
func (l *lossy) play(ctx context.Context, i int) error {
	way := lossyWays[i%len(lossyWays)]
	client, err := l.begin(netip.AddrPortFrom(l.st.net.serverAddr, way.to))
	if err != nil {
		return err
	}
	switch err := client.finishConnect(ctx); {
	case errors.Is(err, unix.ETIMEDOUT), way.err != nil && errors.Is(err, way.err):
		return client.close()
	case err != nil:
		return err
	case way.err != nil:
		return fmt.Errorf("connect: no error instead of %w", way.err)
	}
	server, err := l.server(ctx, client)
	if err != nil {
		return err
	}
	if server == nil {
		return client.close()
	}
	if err := talk(ctx, client, server); err != nil {
		return err
	}
	if err := way.play(ctx, client, server); err != nil {
		return err
	}
	return errors.Join(client.close(), server.close())
}

func (l *lossy) begin(to netip.AddrPort) (*socket, error) {
	k, err := newSocket(l.st.net.client, l.st.p.IPv6)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.st.sockets = append(l.st.sockets, k)
	if err := k.startConnect(to); err != nil {
		return nil, err
	}
	_, err = l.st.enter(k, to)
	return k, err
}

// server waits for the socket at the other end. The client speaks first: if
// the handshake's last ACK is lost, its data makes up for it. It returns nil
// where the server gave the handshake up.
func (l *lossy) server(ctx context.Context, client *socket) (*socket, error) {
	local, err := client.local()
	if err != nil {
		return nil, err
	}
	if err := client.say(); err != nil {
		return nil, err
	}
	var server *socket
	err = poll(ctx, func() (bool, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		server = l.accepted[local]
		if server != nil {
			return true, nil
		}
		s, err := client.state()
		return s == tcp.Close, err
	})
	return server, err
}

// talk lets the server hear what the client has said, and answer.
func talk(ctx context.Context, client, server *socket) error {
	if err := server.hear(ctx); err != nil {
		return err
	}
	if err := server.say(); err != nil {
		return err
	}
	return client.hear(ctx)
}

// transfer sends n bytes from one to the other.
func transfer(ctx context.Context, from, to *socket, n int) error {
	words := bytes.Repeat([]byte("x"), 16<<10)
	buffer := make([]byte, 64<<10)
	for sent, got := 0, 0; got < n; {
		if sent < n {
			m, err := unix.Write(from.fd, words[:min(len(words), n-sent)])
			if err != nil && !errors.Is(err, unix.EAGAIN) {
				return fmt.Errorf("write: %w", err)
			}
			sent += max(m, 0)
		}
		m, err := unix.Read(to.fd, buffer)
		switch {
		case errors.Is(err, unix.EAGAIN):
			if sent == n || ctx.Err() != nil {
				if err := to.wait(ctx, unix.POLLIN); err != nil {
					return err
				}
			}
		case err != nil:
			return fmt.Errorf("read: %w", err)
		case m == 0:
			return errors.New("read: the end, before all was read")
		}
		got += max(m, 0)
	}
	return nil
}

// provoke speaks to a peer that has reset the connection, until the RST, or
// the answer to one of the words, has come through.
func (k *socket) provoke(ctx context.Context) error {
	_, err := unix.Write(k.fd, []byte(message))
	if err != nil && !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
		return fmt.Errorf("write: %w", err)
	}
	return poll(ctx, func() (bool, error) {
		s, err := k.state()
		return s == tcp.Close, err
	})
}

// settle waits until nothing but TIME_WAIT is left, and no more of these come.
func (l *lossy) settle(ctx context.Context) error {
	return l.st.awaitThat(ctx, census{tcp.TimeWait: l.st.p.N}, func(got census) bool {
		got[tcp.TimeWait] = 0
		return got == census{}
	})
}

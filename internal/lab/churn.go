//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Bounds and defaults of churn.
const (
	churnThreads    = 2
	maxChurnThreads = 64
	churnDuration   = 2 * time.Second
	maxChurn        = 10 * time.Minute

	// churnSources addresses by 28,232 ephemeral ports are more 4-tuples than
	// TIME_WAIT can hold in its 60 s.
	churnSources = 8000
)

func churnStories() []Story {
	return []Story{{
		Name:     "churn",
		Doc:      "short connections, two bytes each way, as fast as they go or at a rate, from 8,000 loopback addresses; for benchmarks",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: []Network{Loopback},
		endless:  true,
		sysctls: [][2]string{
			{"net.ipv4.tcp_max_tw_buckets", "1048576"},
			{"?net.ipv6.ip_nonlocal_bind", "1"}, // so that ::1's like need no 8,000 addresses
		},
		play: playChurn,
	}}
}

func completeChurn(p *Params) error {
	if p.Duration == 0 {
		p.Duration = churnDuration
	}
	if p.Threads == 0 {
		p.Threads = churnThreads
	}
	switch {
	case p.N < 0:
		return fmt.Errorf("%d connections: none to any number can be made", p.N)
	case p.Rate < 0:
		return fmt.Errorf("rate %d: it is connections per second, 0 for as many as go", p.Rate)
	case p.Threads < 1 || p.Threads > maxChurnThreads:
		return fmt.Errorf("%d threads: 1 to %d are possible", p.Threads, maxChurnThreads)
	case p.Duration < 0 || p.Duration > maxChurn:
		return fmt.Errorf("duration %v: up to %v is possible", p.Duration, maxChurn)
	case p.Hold != 0:
		return fmt.Errorf("hold %v: it holds no state", p.Hold)
	}
	return nil
}

// A churn is a run of the generator. Its threads live in the namespace and use
// blocking sockets whose every wait is bounded.
type churn struct {
	st    *stage
	until time.Time
	begun atomic.Int64 // connections that a client has set out to make
	made  atomic.Int64 // connections that ran to their end
	stop  chan struct{}
	once  sync.Once
	err   error // why it stopped early
}

func playChurn(ctx context.Context, st *stage) error {
	if st.p.IPv6 {
		if err := st.net.client.do(routeToSelf); err != nil {
			return fmt.Errorf("make the source addresses local: %w", err)
		}
	}
	if err := st.listen(); err != nil {
		return err
	}
	began := time.Now()
	c := &churn{st: st, until: began.Add(st.p.Duration), stop: make(chan struct{})}
	if err := c.run(ctx, began); err != nil {
		return err
	}
	st.truth.Elapsed = time.Since(began)
	st.truth.Count = int(c.made.Load())
	st.truth.Rate = float64(st.truth.Count) / st.truth.Elapsed.Seconds()
	if err := st.settle(ctx); err != nil {
		return err
	}
	return st.held()
}

// settle waits until nothing but TIME_WAIT is left.
func (st *stage) settle(ctx context.Context) error {
	return poll(ctx, func() (bool, error) {
		got, err := st.net.client.census()
		got[tcp.TimeWait] = 0
		return got == census{}, err
	})
}

func (c *churn) run(ctx context.Context, began time.Time) error {
	defer context.AfterFunc(ctx, func() { c.fail(context.Cause(ctx)) })()
	var clients, servers sync.WaitGroup
	serving := make(chan struct{})
	for range c.st.p.Threads {
		servers.Go(func() { c.onThread(func() error { return c.serve(serving) }) })
	}
	for i := range c.st.p.Threads {
		clients.Go(func() { c.onThread(func() error { return c.connect(i, began) }) })
	}
	clients.Wait()
	close(serving)
	servers.Wait()
	c.fail(nil)
	return c.err
}

// onThread runs f on a thread of its own in the namespace, which ends with it.
func (c *churn) onThread(f func() error) {
	done := make(chan error)
	go func() {
		err := c.st.net.client.join()
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		c.fail(err)
	}
}

// fail stops all threads; the first reason stands.
func (c *churn) fail(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.stop)
	})
}

func (c *churn) stopped() bool {
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}

// connect is a client thread's work: its share of the rate, from its share of
// the source addresses.
func (c *churn) connect(thread int, began time.Time) error {
	threads := c.st.p.Threads
	to := sockaddr(c.st.serverAddr())
	for i := 0; !c.stopped(); i++ {
		if !c.pace(began, i*threads+thread) {
			return nil
		}
		if n := c.begun.Add(1); c.st.p.N > 0 && n > int64(c.st.p.N) {
			return nil
		}
		source := sourceAddr((i*threads+thread)%churnSources, c.st.p.IPv6)
		if err := churnOnce(source, to, c.st.p.IPv6); err != nil {
			return err
		}
		c.made.Add(1)
	}
	return nil
}

// pace waits for the turn of the connection of that number, and reports
// whether there is still time for it.
func (c *churn) pace(began time.Time, number int) bool {
	now := time.Now()
	if c.st.p.Rate > 0 {
		turn := began.Add(time.Duration(float64(number) / float64(c.st.p.Rate) * float64(time.Second)))
		if turn.After(c.until) {
			return false
		}
		if wait := turn.Sub(now); wait > 0 {
			time.Sleep(wait)
		}
		return true
	}
	return now.Before(c.until)
}

// churnOnce makes one connection, from socket() to close().
func churnOnce(source netip.Addr, to unix.Sockaddr, v6 bool) error {
	family := unix.AF_INET
	if v6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return fmt.Errorf("make socket: %w", err)
	}
	defer unix.Close(fd)
	if err := bound(fd); err != nil {
		return err
	}
	k := &socket{fd: fd}
	if err := k.bindAddress(source); err != nil {
		return err
	}
	err = unix.Connect(fd, to)
	if errors.Is(err, unix.EINTR) { // the handshake goes on
		err = k.finishConnect(context.Background())
	}
	if err != nil {
		return fmt.Errorf("connect from %v: %w", source, err)
	}
	if err := k.say(); err != nil {
		return err
	}
	return hearBlocking(fd, len(message))
}

// serve is a server thread's work, until serving is closed and nobody is in
// the queue.
func (c *churn) serve(serving <-chan struct{}) error {
	for {
		fd, _, err := unix.Accept4(c.st.listener.fd, unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			select {
			case <-serving:
				return nil
			default:
			}
			if err := pollBlocking(c.st.listener.fd); err != nil {
				return err
			}
			continue
		default:
			return fmt.Errorf("accept: %w", err)
		}
		if err := serveOnce(fd); err != nil {
			return err
		}
	}
}

func serveOnce(fd int) error {
	defer unix.Close(fd)
	if err := bound(fd); err != nil {
		return err
	}
	if err := hearBlocking(fd, len(message)); err != nil {
		return err
	}
	if err := (&socket{fd: fd}).say(); err != nil {
		return err
	}
	return hearBlocking(fd, 0)
}

// pollBlocking waits up to 20 ms for a connection to accept.
func pollBlocking(fd int) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, 20); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("poll: %w", err)
	}
	return nil
}

// bound limits every wait on the blocking socket to 5 s.
func bound(fd int) error {
	limit := unix.Timeval{Sec: 5}
	for _, opt := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, opt, &limit); err != nil {
			return fmt.Errorf("bound the socket's waits: %w", err)
		}
	}
	return nil
}

// hearBlocking reads want bytes: 0 is the peer's FIN.
func hearBlocking(fd, want int) error {
	var b [64]byte
	for {
		n, err := unix.Read(fd, b[:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if n != want {
			return fmt.Errorf("read: %d bytes instead of %d", n, want)
		}
		return nil
	}
}

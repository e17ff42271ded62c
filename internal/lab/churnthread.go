//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

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
		ctx, cancel := context.WithTimeout(context.Background(), churnWait)
		err = k.finishConnect(ctx)
		cancel()
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

// churnWait is the longest that one call may wait.
const churnWait = 5 * time.Second

// bound limits every wait on the blocking socket to churnWait.
func bound(fd int) error {
	limit := unix.NsecToTimeval(churnWait.Nanoseconds())
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

//go:build linux

package probe

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// A waiter sleeps until the ring is to be read: after the poll interval, when
// the kernel side asks for it because the ring fills, or when it is woken.
type waiter struct {
	epoll int
	wake  int // eventfd
}

func newWaiter(ring int) (*waiter, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create eventfd: %w", err), unix.Close(epoll))
	}
	w := &waiter{epoll: epoll, wake: wake}
	// Edge-triggered: a ring that merely holds data must not end the sleep,
	// or a busy host would have us read it record by record.
	for fd, events := range map[int]uint32{ring: unix.EPOLLIN | unix.EPOLLET, wake: unix.EPOLLIN} {
		if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}); err != nil {
			return nil, errors.Join(fmt.Errorf("watch the ring: %w", err), w.close())
		}
	}
	return w, nil
}

// wait returns after at most d.
func (w *waiter) wait(d time.Duration) error {
	var events [2]unix.EpollEvent
	_, err := unix.EpollWait(w.epoll, events[:], int(max(d.Milliseconds(), 1)))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for the ring: %w", err)
	}
	return nil
}

// interrupt ends the current sleep and all later ones. It may be called from
// any goroutine.
func (w *waiter) interrupt() {
	one := [8]byte{1}
	_, _ = unix.Write(w.wake, one[:])
}

func (w *waiter) close() error {
	return errors.Join(unix.Close(w.epoll), unix.Close(w.wake))
}

//go:build linux

package probe

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// A waiter sleeps until the rings are to be read: after the poll interval, when
// the kernel side asks for it because one of them fills, or when it is woken.
//
// It sleeps in Go's own poller. To Go's scheduler a thread that sleeps in a system
// call of its own is at work, and is looked after: some sixty times in 50 ms.
type waiter struct {
	rings *os.File // see watched
	raw   syscall.RawConn
	fills func() bool // whether the kernel side asks for a ring to be read
	over  atomic.Bool
}

func newWaiter(rings []*ebpf.Map, fills func() bool) (*waiter, error) {
	fd, err := watched(rings)
	if err != nil {
		return nil, fmt.Errorf("watch the ring: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // or os.NewFile does not poll it
		return nil, errors.Join(fmt.Errorf("watch the ring: %w", err), unix.Close(fd))
	}
	w := &waiter{fills: fills, rings: os.NewFile(uintptr(fd), "ring")}
	if w.raw, err = w.rings.SyscallConn(); err == nil {
		err = w.rings.SetReadDeadline(time.Time{})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch the ring: %w", err), w.close())
	}
	return w, nil
}

// watched returns a descriptor that is ready when a ring wakes its reader: another one
// of the only ring, or that of an epoll(7) over several.
func watched(rings []*ebpf.Map) (int, error) {
	if len(rings) == 1 {
		return unix.FcntlInt(uintptr(rings[0].FD()), unix.F_DUPFD_CLOEXEC, 0)
	}
	all, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return -1, err
	}
	for _, m := range rings {
		if err := unix.EpollCtl(all, unix.EPOLL_CTL_ADD, m.FD(), &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
			return -1, errors.Join(err, unix.Close(all))
		}
	}
	return all, nil
}

// wait returns after at most d. A ring that merely holds data does not end the
// sleep, only that the kernel side asks for it: on a busy host we would else read
// record by record.
func (w *waiter) wait(d time.Duration) error {
	if err := w.rings.SetReadDeadline(time.Now().Add(d)); err != nil {
		return fmt.Errorf("wait for the ring: %w", err)
	}
	if w.over.Load() { // after the deadline is set: interrupt sets both in the other order
		return nil
	}
	slept := false
	err := w.raw.Read(func(uintptr) bool {
		// What was asked for before this sleep is forgotten; and a full ring asks no more.
		done := slept || w.fills()
		slept = true
		return done
	})
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("wait for the ring: %w", err)
	}
	return nil
}

// interrupt ends the current sleep and all later ones. It may be called from
// any goroutine.
func (w *waiter) interrupt() {
	w.over.Store(true)
	_ = w.rings.SetReadDeadline(time.Unix(1, 0)) // where it is closed nobody sleeps
}

func (w *waiter) close() error { return w.rings.Close() }

//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A namespace is a network namespace of our own, kept by one thread that lives
// in it. It ends with close.
type namespace struct {
	role  string
	inode uint32
	fd    int // for setns; open until close
	pulse int // a sysctl of the namespace, which reads ENOENT once it is gone
	tasks chan func()
}

// newNamespace makes a namespace with its loopback device up.
func newNamespace(role string) (*namespace, error) {
	ns := &namespace{role: role, fd: -1, pulse: -1, tasks: make(chan func())}
	made := make(chan error)
	onOwnThread(func() { ns.live(made) })
	if err := <-made; err != nil {
		return nil, fmt.Errorf("make %s network namespace: %w", role, err)
	}
	return ns, nil
}

// onOwnThread starts f on a thread that nothing else uses and that ends with
// f, so that f may move it to another namespace. It is never the main thread:
// that one outlives its goroutines.
func onOwnThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != os.Getpid() {
			f()
			return
		}
		placed := make(chan struct{})
		go func() {
			runtime.LockOSThread() // not the main thread, which we still hold
			close(placed)
			f()
		}()
		<-placed
		runtime.UnlockOSThread()
	}()
}

// live enters a new namespace with the calling thread, and runs tasks there
// until the channel is closed.
func (ns *namespace) live(made chan<- error) {
	err := ns.enter()
	made <- err
	if err != nil {
		ns.release()
		return
	}
	for task := range ns.tasks {
		task()
	}
}

func (ns *namespace) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if errors.Is(err, unix.EPERM) {
			return fmt.Errorf("unshare: %w: %w", ErrNotAllowed, err)
		}
		return fmt.Errorf("unshare: %w", err)
	}
	var err error
	if ns.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open /proc/thread-self/ns/net: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(ns.fd, &st); err != nil {
		return fmt.Errorf("read the namespace's inode: %w", err)
	}
	ns.inode = uint32(st.Ino)
	// net.core's tables are made before TCP is set up in a namespace and
	// taken down after it (net/core/net_namespace.c, cleanup_net: in reverse),
	// so their end says that TIME_WAIT is gone too.
	if ns.pulse, err = unix.Open("/proc/sys/net/core/somaxconn", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open net.core.somaxconn: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// do runs f on the namespace's thread. It must not block for long: everything
// of one namespace shares this thread.
func (ns *namespace) do(f func() error) error {
	done := make(chan error)
	ns.tasks <- func() { done <- f() }
	return <-done
}

// sysctl sets name, such as "net.ipv4.tcp_fin_timeout", in the namespace. A
// name that begins with "?" may be unknown to the kernel.
func (ns *namespace) sysctl(name, value string) error {
	name, optional := strings.CutPrefix(name, "?")
	path := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
	err := ns.do(func() error { return os.WriteFile(path, []byte(value), 0) })
	if optional && errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("set %s to %q: %w", name, value, err)
	}
	return nil
}

// join moves the calling thread, one of onOwnThread, into the namespace.
func (ns *namespace) join() error {
	if err := unix.Setns(ns.fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter %s network namespace: %w", ns.role, err)
	}
	return nil
}

// close lets go of the namespace and waits until the kernel has deleted it,
// which takes some 20 to 100 ms, or ctx is done. Sockets in it must be closed.
func (ns *namespace) close(ctx context.Context) error {
	close(ns.tasks)
	defer ns.release()
	unix.Close(ns.fd)
	ns.fd = -1
	var b [16]byte
	err := poll(ctx, func() (bool, error) {
		_, err := unix.Pread(ns.pulse, b[:], 0)
		return errors.Is(err, unix.ENOENT), nil
	})
	if err != nil {
		return fmt.Errorf("wait for the end of %s network namespace %d: %w", ns.role, ns.inode, err)
	}
	return nil
}

func (ns *namespace) release() {
	for _, fd := range []int{ns.fd, ns.pulse} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// poll calls cond until it reports true or an error, or ctx is done: every
// millisecond at first, every 20 ms in the end.
func poll(ctx context.Context, cond func() (bool, error)) error {
	for wait := time.Millisecond; ; wait = min(wait*3/2, 20*time.Millisecond) {
		if ok, err := cond(); ok || err != nil {
			return err
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// sleep waits for d, or returns why ctx was done.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

//go:build linux

package probe

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/bpf"
)

const (
	// learnLimit is how long a step of the connection may take. On loopback they
	// take microseconds, unless something is in the way.
	learnLimit = time.Second
	learnEvery = 5 * time.Millisecond
)

// A lesson reads the handlers of our timers of a connection to ourselves, with an
// iterator over the sockets of the thread's network namespace.
type lesson struct {
	handlers
	listener   int
	address    unix.Sockaddr // of the listener
	collection *ebpf.Collection
	iterator   *link.Iter
}

// learnHere plays the lesson. It leaves nothing behind, and was seen by no hook
// of this process: none is attached yet.
func (k *kernel) learnHere() (handlers, error) {
	l := lesson{listener: -1}
	err := l.prepare(k)
	if err == nil {
		err = l.play()
	}
	return l.handlers, errors.Join(err, l.close())
}

// prepare makes the listener, and loads the iterator for its port.
func (l *lesson) prepare(k *kernel) (err error) {
	if l.listener, err = ownSocket(); err != nil {
		return err
	}
	// The listener is to have the client's ACK followed by data. Until then the
	// request stays (tcp_check_req).
	err = errors.Join(
		unix.Bind(l.listener, &unix.SockaddrInet4{Addr: ownAddress}),
		unix.SetsockoptInt(l.listener, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 1),
		unix.Listen(l.listener, 1),
	)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if l.address, err = unix.Getsockname(l.listener); err != nil {
		return fmt.Errorf("read a socket's address: %w", err)
	}
	spec, err := bpf.LoadHandlers()
	if err != nil {
		return fmt.Errorf("read the BPF object: %w", err)
	}
	port := l.address.(*unix.SockaddrInet4).Port // of the family that it was made with
	if err := spec.Variables[bpf.HandlersVarOwnPort].Set(uint16(port)); err != nil {
		return fmt.Errorf("tell the iterator a port: %w", err)
	}
	options := ebpf.CollectionOptions{Cache: k.cache, Programs: ebpf.ProgramOptions{KernelTypes: k.types}}
	if l.collection, err = ebpf.NewCollectionWithOptions(spec, options); err != nil {
		return fmt.Errorf("load %s: %w", bpf.HandlersProgTtHandlers, err)
	}
	l.iterator, err = link.AttachIter(link.IterOptions{Program: l.collection.Programs[bpf.HandlersProgTtHandlers]})
	if err != nil {
		return fmt.Errorf("attach %s: %w", bpf.HandlersProgTtHandlers, err)
	}
	return nil
}

// play makes the connection: a request first, then a timewait socket.
func (l *lesson) play() error {
	client, err := ownSocket()
	if err != nil {
		return err
	}
	defer func() { abort(client) }()
	if err := unix.Connect(client, l.address); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if err := l.await("request", &l.request); err != nil {
		return err
	}
	if _, err := unix.Write(client, []byte{0}); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	server, _, err := unix.Accept4(l.listener, unix.SOCK_CLOEXEC)
	if err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	defer abort(server) // its RST ends the timewait socket, which is in FIN_WAIT2
	// An orphan that waits for no longer than TIME_WAIT lasts does so as a timewait
	// socket (tcp_rcv_state_process). Should we not come to end it, a second does.
	if err := unix.SetsockoptInt(client, unix.IPPROTO_TCP, unix.TCP_LINGER2, 1); err != nil {
		return fmt.Errorf("set TCP_LINGER2: %w", err)
	}
	err = unix.Close(client)
	client = -1
	if err != nil {
		return fmt.Errorf("close: %w", err)
	}
	if err := unix.SetsockoptInt(server, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1); err != nil {
		return fmt.Errorf("set TCP_QUICKACK: %w", err)
	}
	return errors.Join(l.await("timewait", &l.timewait), l.await("full", &l.write))
}

// await lists the sockets until one of that kind was among them.
func (l *lesson) await(kind string, handler *uint64) error {
	for deadline := time.Now().Add(learnLimit); ; time.Sleep(learnEvery) {
		if err := errors.Join(run(l.iterator), l.read()); err != nil {
			return err
		}
		if *handler != 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("there is no %s socket of ours", kind)
		}
	}
}

func (l *lesson) read() error {
	variables := l.collection.Variables
	err := errors.Join(
		variables[bpf.HandlersVarTimewaitHandler].Get(&l.timewait),
		variables[bpf.HandlersVarRequestHandler].Get(&l.request),
		variables[bpf.HandlersVarWriteHandler].Get(&l.write),
	)
	if err != nil {
		return fmt.Errorf("read what the iterator found: %w", err)
	}
	return nil
}

func (l *lesson) close() error {
	var errs []error
	if l.iterator != nil {
		errs = append(errs, l.iterator.Close())
	}
	if l.collection != nil {
		l.collection.Close()
	}
	if l.listener >= 0 {
		errs = append(errs, unix.Close(l.listener))
	}
	return errors.Join(errs...)
}

var ownAddress = [4]byte{127, 0, 0, 1}

// ownSocket returns one of plain TCP, whose calls last no longer than learnLimit.
func ownSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, fmt.Errorf("make a socket: %w", err)
	}
	limit := unix.NsecToTimeval(learnLimit.Nanoseconds())
	for _, option := range []int{unix.SO_SNDTIMEO, unix.SO_RCVTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &limit); err != nil {
			return -1, errors.Join(fmt.Errorf("limit a socket's calls: %w", err), unix.Close(fd))
		}
	}
	return fd, nil
}

// abort closes a connection, if it is open, with a RST.
func abort(fd int) {
	if fd < 0 {
		return
	}
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // else it ends in good order
	_ = unix.Close(fd)
}

// inEmptyNamespace runs do in a network namespace that has nothing but loopback,
// and is gone with what do leaves there.
func inEmptyNamespace(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := moveToEmptyNamespace()
		if err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		defer unix.Close(home)
		err = raiseLoopback()
		if err == nil {
			err = do()
		}
		if unix.Setns(home, unix.CLONE_NEWNET) == nil { // else the thread ends with this goroutine
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// moveToEmptyNamespace returns a descriptor of the namespace that the thread
// leaves, unless it could not.
func moveToEmptyNamespace() (home int, err error) {
	if home, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return -1, fmt.Errorf("open this thread's network namespace: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return -1, errors.Join(fmt.Errorf("make a network namespace: %w", err), unix.Close(home))
	}
	return home, nil
}

func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a socket: %w", err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("name loopback: %w", err)
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("raise loopback: %w", err)
	}
	return nil
}

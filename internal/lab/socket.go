//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A socket is a non-blocking TCP socket. Methods that wait end when ctx does.
type socket struct {
	fd int // -1 once closed
}

// newSocket makes a socket in ns. It stays there, whatever thread uses it.
func newSocket(ns *namespace, v6 bool) (*socket, error) {
	var k *socket
	err := ns.do(func() (err error) {
		k, err = openSocket(v6)
		return err
	})
	return k, err
}

// openSocket makes a socket in the namespace of the calling thread.
func openSocket(v6 bool) (*socket, error) {
	family := unix.AF_INET
	if v6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	return &socket{fd: fd}, nil
}

// close sends what the state asks for, FIN or RST. Later calls do nothing.
func (k *socket) close() error {
	if k.fd < 0 {
		return nil
	}
	fd := k.fd
	k.fd = -1
	// A child between fork and exec has our descriptors, and is who closes the socket
	// if it is the last to.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

// bind gives the socket an address; SO_REUSEADDR is set, so that TIME_WAIT on
// it is no obstacle.
func (k *socket) bind(addr netip.AddrPort) error {
	if err := unix.SetsockoptInt(k.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fmt.Errorf("set SO_REUSEADDR: %w", err)
	}
	if err := unix.Bind(k.fd, sockaddr(addr)); err != nil {
		return fmt.Errorf("bind %v: %w", addr, err)
	}
	return nil
}

// bindAddress gives the socket a source address and leaves the port to connect.
func (k *socket) bindAddress(addr netip.Addr) error {
	if err := unix.SetsockoptInt(k.fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return fmt.Errorf("set IP_BIND_ADDRESS_NO_PORT: %w", err)
	}
	if err := unix.Bind(k.fd, sockaddr(netip.AddrPortFrom(addr, 0))); err != nil {
		return fmt.Errorf("bind %v: %w", addr, err)
	}
	return nil
}

func (k *socket) listen(backlog int) error {
	if err := unix.Listen(k.fd, backlog); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}

// startConnect sends the SYN.
func (k *socket) startConnect(to netip.AddrPort) error {
	err := unix.Connect(k.fd, sockaddr(to))
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("connect to %v: %w", to, err)
	}
	return nil
}

// finishConnect waits for the end of the handshake and returns its error.
func (k *socket) finishConnect(ctx context.Context) error {
	if err := k.wait(ctx, unix.POLLOUT); err != nil {
		return fmt.Errorf("wait for connect: %w", err)
	}
	// A timeout is told before the socket leaves SYN_SENT (tcp_write_err), and
	// who reads SO_ERROR between the two takes the reason away from the kernel:
	// the socket then goes to CLOSE without an error.
	err := poll(ctx, func() (bool, error) {
		s, err := k.state()
		return s != tcp.SynSent, err
	})
	if err != nil {
		return fmt.Errorf("wait for connect: %w", err)
	}
	code, err := unix.GetsockoptInt(k.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return fmt.Errorf("read SO_ERROR: %w", err)
	}
	if code != 0 {
		return fmt.Errorf("connect: %w", unix.Errno(code))
	}
	return nil
}

func (k *socket) connect(ctx context.Context, to netip.AddrPort) error {
	if err := k.startConnect(to); err != nil {
		return err
	}
	return k.finishConnect(ctx)
}

func (k *socket) accept(ctx context.Context) (*socket, error) {
	for {
		fd, _, err := unix.Accept4(k.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			return &socket{fd: fd}, nil
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
			return nil, fmt.Errorf("accept: %w", err)
		}
		if err := k.wait(ctx, unix.POLLIN); err != nil {
			return nil, fmt.Errorf("accept: %w", err)
		}
	}
}

// message is what each end says to the other.
const message = "hi"

func (k *socket) say() error { return k.write(message) }

func (k *socket) write(words string) error {
	n, err := unix.Write(k.fd, []byte(words))
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if n != len(words) {
		return fmt.Errorf("write: %d of %d bytes", n, len(words))
	}
	return nil
}

// acknowledged reports whether the peer's kernel has all that we wrote.
func (k *socket) acknowledged() (bool, error) {
	n, err := unix.IoctlGetInt(k.fd, unix.SIOCOUTQ)
	if err != nil {
		return false, fmt.Errorf("read SIOCOUTQ: %w", err)
	}
	return n == 0, nil
}

// hear reads exactly what the peer has said.
func (k *socket) hear(ctx context.Context) error {
	n, err := k.read(ctx)
	if err != nil {
		return err
	}
	if n != len(message) {
		return fmt.Errorf("read: %d bytes instead of %d", n, len(message))
	}
	return nil
}

// hearEnd waits for the peer's FIN.
func (k *socket) hearEnd(ctx context.Context) error {
	n, err := k.read(ctx)
	if err == nil && n != 0 {
		err = fmt.Errorf("read: %d bytes instead of the peer's FIN", n)
	}
	return err
}

// hearReset waits for the peer's RST.
func (k *socket) hearReset(ctx context.Context) error {
	n, err := k.read(ctx)
	if errors.Is(err, unix.ECONNRESET) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("read: %d bytes instead of the peer's RST", n)
	}
	return err
}

// hearTimeout waits until the kernel has given the peer up.
func (k *socket) hearTimeout(ctx context.Context) error {
	n, err := k.read(ctx)
	if errors.Is(err, unix.ETIMEDOUT) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("read: %d bytes instead of ETIMEDOUT", n)
	}
	return err
}

func (k *socket) read(ctx context.Context) (int, error) {
	var b [64]byte
	return k.readInto(ctx, b[:])
}

func (k *socket) readInto(ctx context.Context, b []byte) (int, error) {
	for {
		n, err := unix.Read(k.fd, b)
		switch {
		case err == nil:
			return n, nil
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
			return 0, fmt.Errorf("read: %w", err)
		}
		if err := k.wait(ctx, unix.POLLIN); err != nil {
			return 0, fmt.Errorf("read: %w", err)
		}
	}
}

// shutdown sends our FIN and keeps the socket.
func (k *socket) shutdown() error {
	if err := unix.Shutdown(k.fd, unix.SHUT_WR); err != nil {
		return fmt.Errorf("shutdown(SHUT_WR): %w", err)
	}
	return nil
}

// abort closes with SO_LINGER 0: the kernel sends RST.
func (k *socket) abort() error {
	if err := unix.SetsockoptLinger(k.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return fmt.Errorf("set SO_LINGER: %w", err)
	}
	return k.close()
}

// vanish closes as a crash of the host would: no packet tells of it
// (TCP_REPAIR: net/ipv4/tcp.c, __tcp_close).
func (k *socket) vanish() error {
	if err := k.set(unix.SOL_TCP, unix.TCP_REPAIR, 1); err != nil {
		return err
	}
	return k.close()
}

func (k *socket) set(level, option, value int) error {
	if err := unix.SetsockoptInt(k.fd, level, option, value); err != nil {
		return fmt.Errorf("set socket option %d of level %d: %w", option, level, err)
	}
	return nil
}

// state asks the kernel for the socket's state (TCP_INFO).
func (k *socket) state() (tcp.State, error) {
	info, err := unix.GetsockoptTCPInfo(k.fd, unix.SOL_TCP, unix.TCP_INFO)
	if err != nil {
		return tcp.Unknown, fmt.Errorf("read TCP_INFO: %w", err)
	}
	return tcp.State(info.State), nil
}

func (k *socket) cookie() (Cookie, error) {
	v, err := unix.GetsockoptUint64(k.fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	if err != nil {
		return 0, fmt.Errorf("read SO_COOKIE: %w", err)
	}
	return Cookie(v), nil
}

func (k *socket) local() (netip.AddrPort, error) {
	sa, err := unix.Getsockname(k.fd)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("getsockname: %w", err)
	}
	return addrPort(sa), nil
}

func (k *socket) remote() (netip.AddrPort, error) {
	sa, err := unix.Getpeername(k.fd)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("getpeername: %w", err)
	}
	return addrPort(sa), nil
}

// errNothing is returned by wait when patience is at its end.
var errNothing = fmt.Errorf("nothing came for %v", patience)

// wait returns when one of events, an error or a hang-up is there, or fails
// with errNothing.
func (k *socket) wait(ctx context.Context, events int16) error {
	const slice = 50 * time.Millisecond // how long ctx may go unnoticed
	for began := time.Now(); ; {
		if time.Since(began) >= patience {
			return errNothing
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		fds := []unix.PollFd{{Fd: int32(k.fd), Events: events}}
		n, err := unix.Poll(fds, int(slice.Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("poll: %w", err)
		}
		if n > 0 {
			return nil
		}
	}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

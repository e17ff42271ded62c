//go:build linux

package snapshot

import (
	"context"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/cilium/ebpf/btf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// privateNet moves the test into a network namespace of its own, with
// loopback up. The thread ends with the test.
func privateNet(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	runtime.LockOSThread()
	check(t, unix.Unshare(unix.CLONE_NEWNET))
	lo, err := netlink.LinkByName("lo")
	check(t, err)
	check(t, netlink.LinkSetUp(lo))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newReader(t testing.TB) *Reader {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	r, err := Open()
	check(t, err)
	t.Cleanup(func() { check(t, r.Close()) })
	return r
}

// newReaderWith is newReader for a kernel that offers only so much.
func newReaderWith(t testing.TB, has features) *Reader {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	cache := btf.NewCache()
	types, err := cache.Kernel()
	check(t, err)
	r, err := open(cache, types, has)
	check(t, err)
	t.Cleanup(func() { check(t, r.Close()) })
	return r
}

func take(t testing.TB, r *Reader, opts Options) *Snapshot {
	t.Helper()
	snap, err := r.Take(context.Background(), opts)
	check(t, err)
	return snap
}

// A socket is the test's descriptor of one; it closes with the test.
type socket struct {
	t  testing.TB
	fd int
}

func newSocket(t testing.TB, addr netip.AddrPort) *socket {
	t.Helper()
	family := unix.AF_INET
	if addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	s := &socket{t, fd}
	t.Cleanup(s.close)
	return s
}

func sockaddr(addr netip.AddrPort) unix.Sockaddr {
	if addr.Addr().Is6() {
		return &unix.SockaddrInet6{Addr: addr.Addr().As16(), Port: int(addr.Port())}
	}
	return &unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())}
}

func listen(t testing.TB, addr netip.AddrPort, backlog int) *socket {
	t.Helper()
	s := newSocket(t, addr)
	check(t, unix.Bind(s.fd, sockaddr(addr)))
	check(t, unix.Listen(s.fd, backlog))
	return s
}

func dial(t testing.TB, addr netip.AddrPort) *socket {
	t.Helper()
	s := newSocket(t, addr)
	check(t, unix.Connect(s.fd, sockaddr(addr)))
	return s
}

func (s *socket) accept() *socket {
	s.t.Helper()
	fd, _, err := unix.Accept4(s.fd, unix.SOCK_CLOEXEC)
	check(s.t, err)
	accepted := &socket{s.t, fd}
	s.t.Cleanup(accepted.close)
	return accepted
}

// close closes it; a second time does nothing.
func (s *socket) close() {
	if s.fd >= 0 {
		check(s.t, unix.Close(s.fd))
		s.fd = -1
	}
}

// finish sends a FIN and keeps the descriptor.
func (s *socket) finish() { s.t.Helper(); check(s.t, unix.Shutdown(s.fd, unix.SHUT_WR)) }

// fill writes until neither end has room.
func (s *socket) fill() {
	s.t.Helper()
	check(s.t, unix.SetNonblock(s.fd, true))
	chunk := make([]byte, 64<<10)
	for {
		if _, err := unix.Write(s.fd, chunk); err == unix.EAGAIN {
			return
		} else if err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *socket) cookie() uint64 {
	s.t.Helper()
	cookie, err := unix.GetsockoptUint64(s.fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	check(s.t, err)
	return cookie
}

func (s *socket) inode() uint64 {
	s.t.Helper()
	var st unix.Stat_t
	check(s.t, unix.Fstat(s.fd, &st))
	return st.Ino
}

// port returns the local one.
func (s *socket) port() uint16 {
	s.t.Helper()
	addr, err := unix.Getsockname(s.fd)
	check(s.t, err)
	if v4, ok := addr.(*unix.SockaddrInet4); ok {
		return uint16(v4.Port)
	}
	return uint16(addr.(*unix.SockaddrInet6).Port)
}

// ask returns what sock_diag, which ss asks, says of the sockets of the
// thread's namespace, by cookie.
func ask(t testing.TB) map[uint64]*netlink.Socket {
	t.Helper()
	answer := map[uint64]*netlink.Socket{}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		sockets, err := netlink.SocketDiagTCP(family)
		check(t, err)
		for _, s := range sockets {
			answer[uint64(s.ID.Cookie[1])<<32|uint64(s.ID.Cookie[0])] = s
		}
	}
	return answer
}

// settled takes snapshots until the states are those wanted, which the two
// ends of a loopback connection reach on their own.
func settled(t testing.TB, r *Reader, want map[tcp.State]int) *Snapshot {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		snap := take(t, r, Options{})
		got := map[tcp.State]int{}
		for i := range snap.Sockets {
			got[snap.Sockets[i].State]++
		}
		same := len(got) == len(want)
		for state, n := range want {
			same = same && got[state] == n
		}
		if same {
			return snap
		}
		if time.Now().After(deadline) {
			t.Fatalf("states are %v, want %v", got, want)
		}
	}
}

// find returns the only socket that is right.
func find(t testing.TB, snap *Snapshot, what string, right func(*Socket) bool) *Socket {
	t.Helper()
	var found *Socket
	for i := range snap.Sockets {
		if s := &snap.Sockets[i]; right(s) {
			if found != nil {
				t.Fatalf("%s: two of them: %+v and %+v", what, found, s)
			}
			found = s
		}
	}
	if found == nil {
		t.Fatalf("%s: none of %d sockets", what, len(snap.Sockets))
	}
	return found
}

func byCookie(cookie uint64) func(*Socket) bool {
	return func(s *Socket) bool { return s.ID.Cookie == cookie }
}

func byPorts(local, remote uint16) func(*Socket) bool {
	return func(s *Socket) bool { return s.Local.Port() == local && s.Remote.Port() == remote }
}

func ownInode(t testing.TB) uint32 {
	t.Helper()
	var st unix.Stat_t
	check(t, unix.Stat("/proc/thread-self/ns/net", &st))
	return uint32(st.Ino)
}

func comm(name string) (c [16]byte) {
	copy(c[:15], name)
	return c
}

//go:build linux

package snapshot

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// families are the three ways to speak TCP: the last is an IPv6 socket that
// speaks IPv4.
var families = []struct{ name, addr, shown string }{
	{"ipv4", "127.0.0.1", "127.0.0.1"},
	{"ipv6", "::1", "::1"},
	{"mapped", "::ffff:127.0.0.1", "127.0.0.1"},
}

func eachFamily(t *testing.T, test func(t *testing.T, addr, shown netip.Addr)) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			privateNet(t)
			test(t, netip.MustParseAddr(f.addr), netip.MustParseAddr(f.shown))
		})
	}
}

// ourComm is this process's name as the kernel has it.
func ourComm(t testing.TB) [16]byte {
	t.Helper()
	name, err := os.ReadFile("/proc/self/comm")
	check(t, err)
	return comm(strings.TrimSpace(string(name)))
}

// same compares a socket with what is known of it; times and timers apart.
func same(t *testing.T, what string, got *Socket, want Socket) {
	t.Helper()
	if len(got.Holders) != len(want.Holders) {
		t.Errorf("%s: holders %+v, want %+v", what, got.Holders, want.Holders)
		return
	}
	for i := range want.Holders {
		if got.Holders[i] != want.Holders[i] {
			t.Errorf("%s: holder %+v, want %+v", what, got.Holders[i], want.Holders[i])
		}
	}
	if got.ID != want.ID || got.Local != want.Local || got.Remote != want.Remote || got.State != want.State ||
		got.Object != want.Object || got.Inode != want.Inode || got.RecvQ != want.RecvQ || got.SendQ != want.SendQ ||
		got.Orphan != want.Orphan || got.Unaccepted != want.Unaccepted || got.MoreHolders != want.MoreHolders {
		t.Errorf("%s:\n got %+v\nwant %+v", what, *got, want)
	}
}

// A listener has its backlog, a connection its two ends and its queues, and
// one that nobody accepted yet no owner.
func TestTake_ListenerAndEstablished(t *testing.T) {
	r := newReader(t)
	eachFamily(t, func(t *testing.T, addr, shown netip.Addr) {
		at := netip.AddrPortFrom(addr, 8080)
		listener := listen(t, at, 7)
		client := dial(t, at)
		server := listener.accept()
		waiting := dial(t, at)
		_, err := unix.Write(client.fd, []byte("hello"))
		check(t, err)
		snap := settled(t, r, map[tcp.State]int{tcp.Listen: 1, tcp.Established: 4})

		ns, me := ownInode(t), uint32(os.Getpid())
		held := func(s *socket) []Holder {
			return []Holder{{PID: me, FD: uint32(s.fd), UID: uint32(os.Getuid()), Comm: ourComm(t)}}
		}
		here := netip.AddrPortFrom(shown, 8080)
		there := netip.AddrPortFrom(shown, client.port())
		same(t, "listener", find(t, snap, "listener", byCookie(listener.cookie())), Socket{
			ID: event.ID{NetNS: ns, Cookie: listener.cookie()}, Local: here, State: tcp.Listen, Object: Full,
			Inode: listener.inode(), RecvQ: 1, SendQ: 7, Holders: held(listener),
		})
		same(t, "client", find(t, snap, "client", byCookie(client.cookie())), Socket{
			ID: event.ID{NetNS: ns, Cookie: client.cookie()}, Local: there, Remote: here, State: tcp.Established,
			Object: Full, Inode: client.inode(), Holders: held(client),
		})
		same(t, "server", find(t, snap, "server", byCookie(server.cookie())), Socket{
			ID: event.ID{NetNS: ns, Cookie: server.cookie()}, Local: here, Remote: there, State: tcp.Established,
			Object: Full, Inode: server.inode(), RecvQ: 5, Holders: held(server),
		})
		queued := find(t, snap, "unaccepted", byPorts(8080, waiting.port()))
		if queued.ID.Cookie == 0 {
			t.Error("the unaccepted connection has no cookie")
		}
		same(t, "unaccepted", queued, Socket{
			ID: queued.ID, Local: here, Remote: netip.AddrPortFrom(shown, waiting.port()), State: tcp.Established,
			Object: Full, Unaccepted: true,
		})
		if accepted := listener.accept().cookie(); accepted != queued.ID.Cookie {
			t.Errorf("once accepted its cookie is %x, in the queue it was %x", accepted, queued.ID.Cookie)
		}
	})
}

// A half-close stays a full socket of its process; an orphan's FIN_WAIT2, and
// TIME_WAIT, are timewait sockets with the time that remains. The cookie
// stays the connection's.
func TestTake_Closing(t *testing.T) {
	r := newReader(t)
	eachFamily(t, func(t *testing.T, addr, _ netip.Addr) {
		at := netip.AddrPortFrom(addr, 8080)
		listener := listen(t, at, 7)
		var client, server [3]*socket
		var cookie [3]uint64
		for i := range client {
			client[i] = dial(t, at)
			server[i] = listener.accept()
			cookie[i] = client[i].cookie()
		}
		client[0].finish() // half-close
		client[1].close()  // orphan
		client[2].close()  // TIME_WAIT
		server[2].close()
		snap := settled(t, r, map[tcp.State]int{tcp.Listen: 1, tcp.CloseWait: 2, tcp.FinWait2: 2, tcp.TimeWait: 1})

		half := find(t, snap, "half-close", byCookie(cookie[0]))
		if half.State != tcp.FinWait2 || half.Object != Full || half.Timer != NoTimer || len(half.Holders) != 1 || half.Orphan {
			t.Errorf("half-close: %+v", *half)
		}
		orphan := find(t, snap, "orphan", byCookie(cookie[1]))
		if orphan.State != tcp.FinWait2 || orphan.Object != TimeWait || len(orphan.Holders) != 0 {
			t.Errorf("orphan: %+v", *orphan)
		}
		over := find(t, snap, "TIME_WAIT", byCookie(cookie[2]))
		if over.State != tcp.TimeWait || over.Object != TimeWait || len(over.Holders) != 0 {
			t.Errorf("TIME_WAIT: %+v", *over)
		}
		for _, s := range []*Socket{orphan, over} {
			if s.Timer != TimeWaitTimer || s.TimeLeft <= 50*time.Second || s.TimeLeft > 60*time.Second {
				t.Errorf("%v has %v %v left, want timewait of nearly 60s", s.State, s.Timer, s.TimeLeft)
			}
		}
		for i := range 2 {
			left := find(t, snap, "CLOSE_WAIT", byCookie(server[i].cookie()))
			if left.State != tcp.CloseWait || left.RecvQ != 1 || len(left.Holders) != 1 || left.Holders[0].FD != uint32(server[i].fd) {
				t.Errorf("CLOSE_WAIT: %+v", *left)
			}
		}
	})
}

// A close() behind data that the peer has no room for leaves the FIN unsent:
// the orphan stays in FIN_WAIT1, in LAST_ACK where the peer had closed before,
// and in CLOSING where it closes after.
func TestTake_FinUnacknowledged(t *testing.T) {
	r := newReader(t)
	eachFamily(t, func(t *testing.T, addr, _ netip.Addr) {
		at := netip.AddrPortFrom(addr, 8080)
		listener := listen(t, at, 7)
		var cookie [3]uint64
		for i, state := range []tcp.State{tcp.FinWait1, tcp.LastAck, tcp.Closing} {
			client := dial(t, at)
			server := listener.accept()
			cookie[i] = client.cookie()
			if state == tcp.LastAck {
				server.finish()
				settled(t, r, map[tcp.State]int{tcp.Listen: 1, tcp.FinWait1: 1, tcp.Established: 1, tcp.FinWait2: 1, tcp.CloseWait: 1})
			}
			client.fill()
			client.close()
			if state == tcp.Closing {
				server.finish()
			}
		}
		snap := settled(t, r, map[tcp.State]int{
			tcp.Listen: 1, tcp.FinWait1: 1, tcp.LastAck: 1, tcp.Closing: 1, tcp.Established: 1, tcp.FinWait2: 2,
		})
		for i, state := range []tcp.State{tcp.FinWait1, tcp.LastAck, tcp.Closing} {
			s := find(t, snap, state.String(), byCookie(cookie[i]))
			if s.State != state || s.Object != Full || !s.Orphan || s.Unaccepted || s.SendQ == 0 || len(s.Holders) != 0 || s.Inode != 0 {
				t.Errorf("%v: %+v", state, *s)
			}
			if s.Timer != RetransmitTimer && s.Timer != ProbeTimer {
				t.Errorf("%v waits for timer %q, want retransmit or probe", state, s.Timer)
			}
		}
	})
}

// A handshake that the server does not finish is a request, and one that it
// does not answer stays with the client.
func TestTake_Handshake(t *testing.T) {
	r := newReader(t)
	eachFamily(t, func(t *testing.T, addr, _ netip.Addr) {
		deferred := netip.AddrPortFrom(addr, 8080)
		listener := newSocket(t, deferred)
		check(t, unix.Bind(listener.fd, sockaddr(deferred)))
		check(t, unix.SetsockoptInt(listener.fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 30))
		check(t, unix.Listen(listener.fd, 7))
		silent := dial(t, deferred)

		full := netip.AddrPortFrom(addr, 8081)
		listen(t, full, 0)
		dial(t, full)
		asking := newSocket(t, full)
		check(t, unix.SetNonblock(asking.fd, true))
		if err := unix.Connect(asking.fd, sockaddr(full)); err != unix.EINPROGRESS {
			t.Fatalf("connect to a full listener: %v", err)
		}
		snap := settled(t, r, map[tcp.State]int{tcp.Listen: 2, tcp.SynRecv: 1, tcp.SynSent: 1, tcp.Established: 3})

		request := find(t, snap, "request", byPorts(8080, silent.port()))
		if request.State != tcp.SynRecv || request.Object != Request || request.ID.Cookie == 0 ||
			request.Timer != RetransmitTimer || request.TimeLeft <= 0 || len(request.Holders) != 0 {
			t.Errorf("request: %+v", *request)
		}
		syn := find(t, snap, "SYN_SENT", byCookie(asking.cookie()))
		if syn.State != tcp.SynSent || syn.Timer != RetransmitTimer || syn.TimeLeft <= 0 || syn.TimeLeft > time.Second ||
			len(syn.Holders) != 1 || syn.Holders[0].FD != uint32(asking.fd) {
			t.Errorf("SYN_SENT: %+v", *syn)
		}
		_, err := unix.Write(silent.fd, []byte("x"))
		check(t, err)
		if accepted := listener.accept().cookie(); accepted != request.ID.Cookie {
			t.Errorf("the request's cookie is %x, its child's %x", request.ID.Cookie, accepted)
		}
	})
}

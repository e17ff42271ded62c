//go:build linux

package snapshot

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// timers are sock_diag's numbers, which ss prints as on, keepalive, timewait
// and persist.
var timers = map[uint8]Timer{0: NoTimer, 1: RetransmitTimer, 2: KeepaliveTimer, 3: TimeWaitTimer, 4: ProbeTimer}

// crowd makes connections, 23 of each kind.
func crowd(t *testing.T, addr netip.Addr, port uint16) {
	t.Helper()
	at := netip.AddrPortFrom(addr, port)
	listener := listen(t, at, 100)
	for i := range 23 * 5 {
		client := dial(t, at)
		server := listener.accept()
		switch i % 5 {
		case 0:
			check(t, unix.SetsockoptInt(client.fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1))
			_, err := unix.Write(client.fd, make([]byte, i))
			check(t, err)
		case 1:
			client.finish()
		case 2:
			client.close()
		case 3:
			server.close()
			client.close()
		}
	}
	for range 23 {
		dial(t, at) // and nobody accepts
	}
}

// A snapshot says of every socket what sock_diag does, and of no other.
func TestTake_AgreesWithSockDiag(t *testing.T) {
	r := newReader(t)
	privateNet(t)
	for i, f := range families {
		crowd(t, netip.MustParseAddr(f.addr), uint16(8080+i))
	}
	states := map[tcp.State]int{
		tcp.Listen: 3, tcp.Established: 3 * 6 * 23, tcp.FinWait2: 3 * 2 * 23, tcp.CloseWait: 3 * 2 * 23, tcp.TimeWait: 3 * 23,
	}
	settled(t, r, states)
	before := ask(t)
	snap := settled(t, r, states)
	after := ask(t)
	if len(snap.Sockets) != len(before) || len(before) != len(after) {
		t.Fatalf("%d sockets; sock_diag said %d before and %d after", len(snap.Sockets), len(before), len(after))
	}
	ns := ownInode(t)
	kinds := map[Timer]int{}
	for i := range snap.Sockets {
		s := &snap.Sockets[i]
		b, a := before[s.ID.Cookie], after[s.ID.Cookie]
		if b == nil || a == nil {
			t.Fatalf("sock_diag does not know %+v", *s)
		}
		kinds[s.Timer]++
		agree(t, s, ns, b, a)
	}
	// An orphan whose FIN was acknowledged while close() still held it stays
	// a full socket in FIN_WAIT2, with the keepalive timer.
	if kinds[TimeWaitTimer]+kinds[KeepaliveTimer] != 3*3*23 || kinds[TimeWaitTimer] > 2*3*23 {
		t.Errorf("timers: %v", kinds)
	}
}

// agree compares a socket with what sock_diag said before and after.
func agree(t *testing.T, s *Socket, ns uint32, before, after *netlink.Socket) {
	t.Helper()
	type facts struct {
		id            event.ID
		state         tcp.State
		lport, rport  uint16
		local, remote netip.Addr
		recvQ, sendQ  uint32
		inode         uint64
		retransmits   uint8
	}
	address := func(ip []byte) netip.Addr {
		addr, _ := netip.AddrFromSlice(ip)
		return addr.Unmap()
	}
	said := facts{
		id: s.ID, state: tcp.State(before.State), lport: before.ID.SourcePort, rport: before.ID.DestinationPort,
		local: address(before.ID.Source), remote: address(before.ID.Destination),
		recvQ: before.RQueue, sendQ: before.WQueue, inode: uint64(before.INode), retransmits: before.Retrans,
	}
	got := facts{
		id: event.ID{NetNS: ns, Cookie: s.ID.Cookie}, state: s.State, lport: s.Local.Port(), rport: s.Remote.Port(),
		local: s.Local.Addr(), remote: s.Remote.Addr(),
		recvQ: s.RecvQ, sendQ: s.SendQ, inode: s.Inode, retransmits: s.Retransmits,
	}
	if s.State == tcp.Listen {
		// The kernel says 0.0.0.0 or "::" where there is no peer.
		said.remote = netip.Addr{}
	}
	if got != said {
		t.Errorf("got %+v, sock_diag says %+v", got, said)
	}
	if s.Object != TimeWait && s.UID != before.UID {
		t.Errorf("uid %d, sock_diag says %d", s.UID, before.UID)
	}
	if s.Timer != timers[before.Timer] && s.Timer != timers[after.Timer] {
		t.Errorf("timer %q, sock_diag says %d, then %d", s.Timer, before.Timer, after.Timer)
	}
	// A jiffy is at most 10 ms.
	const tick = 10 * time.Millisecond
	earliest := time.Duration(after.Expires)*time.Millisecond - tick
	latest := time.Duration(before.Expires)*time.Millisecond + tick
	if before.Timer == after.Timer && before.Timer != 0 && (s.TimeLeft < earliest || s.TimeLeft > latest) {
		t.Errorf("%v has %v left, sock_diag says %d ms, then %d", s.State, s.TimeLeft, before.Expires, after.Expires)
	}
}

// On a kernel whose iterators can neither make a cookie nor lead from a file
// to its socket, a snapshot is the same.
func TestTake_WithoutHelpers(t *testing.T) {
	modern := newReader(t)
	old := newReaderWith(t, features{})
	privateNet(t)
	for i, f := range families {
		crowd(t, netip.MustParseAddr(f.addr), uint16(8080+i))
	}
	got := settled(t, old, map[tcp.State]int{
		tcp.Listen: 3, tcp.Established: 3 * 6 * 23, tcp.FinWait2: 3 * 2 * 23, tcp.CloseWait: 3 * 2 * 23, tcp.TimeWait: 3 * 23,
	})
	want := take(t, modern, Options{})
	if len(got.Sockets) != len(want.Sockets) {
		t.Fatalf("%d sockets, want %d", len(got.Sockets), len(want.Sockets))
	}
	for i := range want.Sockets {
		w := &want.Sockets[i]
		if w.ID.Cookie == 0 {
			t.Fatalf("no cookie: %+v", *w)
		}
		g := find(t, got, "without helpers", byCookie(w.ID.Cookie))
		same(t, "without helpers", g, *w)
	}
}

//go:build linux

package probe_test

import (
	"fmt"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// begin starts to connect, and returns the socket.
func begin(port int) int { return beginOn(socket(), port) }

// beginDeaf is begin, and the socket drops what it receives.
func beginDeaf(port int) int {
	client := socket()
	deafen(client)
	return beginOn(client, port)
}

func beginOn(client, port int) int {
	mustDo(unix.SetNonblock(client, true))
	if err := connect(client, port); err != nil && err != unix.EINPROGRESS {
		panic(fmt.Sprintf("connect: %v", err))
	}
	return client
}

func waiting(listener int) int { return int(info(listener).Unacked) } // of a listener, it is that

// counted sums the packets that met a full queue.
func counted(events []event.Event) (n int) {
	for _, ev := range events {
		n += int(ev.Count)
	}
	return n
}

// A listener that takes one more than it was asked to (that is how the kernel
// counts), and five clients too many: their SYNs meet a full accept queue, and
// each is told of.
func TestLive_QueueFull_SYNsThatFindNoRoom(t *testing.T) {
	var port, drops, overflows int
	var cookie uint64
	events, g := playOn(t, probe.Options{}, func(g *ground) {
		listener, p := listen(1)
		port, cookie = p, cookieOf(listener)
		var clients []int
		for range 2 {
			clients = append(clients, begin(port))
		}
		g.until("a full queue", func() bool { return waiting(listener) == 2 })
		for range 5 {
			clients = append(clients, begin(port))
		}
		g.until("a SYN sent again by each", func() bool { return g.counter("TcpExt ListenOverflows") >= 10 })
		closeAll(clients...)
		closeAll(listener)
		drops, overflows = g.counter("TcpExt ListenDrops"), g.counter("TcpExt ListenOverflows")
	})
	full := of(events, event.QueueFull)
	if n := counted(full); n != overflows || n != drops {
		t.Errorf("%d SYNs told, the kernel counts %d overflows and %d drops", n, overflows, drops)
	}
	for _, ev := range full {
		if ev.ID != (event.ID{NetNS: g.inode, Cookie: cookie}) || ev.Local.Port() != uint16(port) || ev.Remote.IsValid() || ev.Old != tcp.Listen {
			t.Errorf("%x in %d, %v to %v in %v", ev.ID.Cookie, ev.ID.NetNS, ev.Remote, ev.Local, ev.Old)
		}
		if want := (event.Queue{Length: 2, Limit: 1}); ev.Queue != want {
			t.Errorf("%+v, want %+v", ev.Queue, want)
		}
	}
}

// A listener that is older than the trace is known once a sweep has found it.
func TestLive_QueueFull_OfAnOlderListener(t *testing.T) {
	var listener, port, overflows int
	var cookie uint64
	older := func(*ground) {
		listener, port = listen(1)
		cookie = cookieOf(listener)
	}
	events, _ := playAfter(t, older, func(g *ground) {
		<-g.swept
		clients := []int{begin(port), begin(port), begin(port)}
		g.until("an overflow", func() bool { return g.counter("TcpExt ListenOverflows") >= 1 })
		closeAll(clients...)
		closeAll(listener)
		overflows = g.counter("TcpExt ListenOverflows")
	})
	full := of(events, event.QueueFull)
	if n := counted(full); n != overflows || full[0].ID.Cookie != cookie || full[0].Local.Port() != uint16(port) {
		t.Errorf("%d SYNs told, the kernel counts %d: %+v", n, overflows, full)
	}
}

// Listeners that have no room in the map are counted as lost, once each, by the sweep
// that finds them.
func TestLive_QueueFull_MoreListenersThanAreWatched(t *testing.T) {
	const watched, more = 16384, 7
	var old unix.Rlimit
	mustDo(unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	mustDo(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: max(old.Cur, 20000), Max: max(old.Max, 20000)}))
	defer func() { mustDo(unix.Setrlimit(unix.RLIMIT_NOFILE, &old)) }()
	known := 0
	listeners := make([]int, 0, watched+more)
	older := func(*ground) {
		listeners = listeners[:0]
		for i := range watched + more {
			listener := socket()
			mustDo(unix.Bind(listener, &unix.SockaddrInet4{Addr: loopback, Port: 10000 + i}))
			mustDo(unix.Listen(listener, 1))
			listeners = append(listeners, listener)
		}
	}
	events, _ := playAfter(t, older, func(g *ground) {
		<-g.swept
		known = entries("listeners")
		closeAll(listeners...)
	})
	lost := of(events, event.Lost)
	if known != watched || len(lost) != 1 || lost[0].Loss.Kind != event.QueueFull || lost[0].Loss.Count != more {
		t.Errorf("%d listeners watched, want %d; lost %+v, want %d", known, watched, lost, more)
	}
}

// A handshake whose last ACK was lost on its way finds, as it comes at last,
// that others took its place.
func TestLive_QueueFull_TheLastACKFindsNoRoom(t *testing.T) {
	var port, client, drops, overflows int
	var cookie uint64
	events, _ := playOn(t, probe.Options{}, func(g *ground) {
		listener, p := listen(1)
		port, cookie = p, cookieOf(listener)
		rule := []string{"INPUT", "-p", "tcp", "--dport", strconv.Itoa(port), "--tcp-flags", "SYN,ACK", "ACK", "-j", "DROP"}
		iptables(append([]string{"-A"}, rule...)...)
		late := begin(port)
		g.until("ESTABLISHED", func() bool { return tcp.State(info(late).State) == tcp.Established })
		client = portOf(late)
		iptables(append([]string{"-D"}, rule...)...)
		others := []int{begin(port), begin(port)}
		g.until("the ACK", func() bool { return g.counter("TcpExt ListenOverflows") >= 1 })
		closeAll(others...)
		closeAll(late, listener)
		drops, overflows = g.counter("TcpExt ListenDrops"), g.counter("TcpExt ListenOverflows")
	})
	full := of(events, event.QueueFull)
	if n := counted(full); n != overflows || n != drops {
		t.Errorf("%d ACKs told, the kernel counts %d overflows and %d drops", n, overflows, drops)
	}
	for _, ev := range full {
		if ev.ID.Cookie != cookie || ev.Local.Port() != uint16(port) || ev.Remote.Port() != uint16(client) || ev.Old != tcp.Listen {
			t.Errorf("cookie %x, %v to %v in %v", ev.ID.Cookie, ev.Remote, ev.Local, ev.Old)
		}
		if want := (event.Queue{Length: 2, Limit: 1}); ev.Queue != want {
			t.Errorf("%+v, want %+v", ev.Queue, want)
		}
	}
}

// The same of a SYN cookie, of which nothing was kept: with tcp_abort_on_overflow too,
// the kernel drops that ACK and answers nothing.
func TestLive_QueueFull_TheLastACKOfACookie(t *testing.T) {
	bothSides(t, func(t *testing.T, s side) {
		var port, late, overflows int
		events, _ := playOn(t, probe.Options{}, func(g *ground) {
			g.sysctl("tcp_syncookies", 2)
			g.sysctl("tcp_abort_on_overflow", 1)
			listener, p := s.listen(0, 1)
			port = p
			unblock := s.block("INPUT", "-p", "tcp", "--dport", strconv.Itoa(port), "--tcp-flags", "SYN,ACK", "ACK", "-j", "DROP")
			client := s.begin(port)
			late = portOf(client)
			g.until("ESTABLISHED", func() bool { return stateOf(client) == tcp.Established })
			unblock()
			others := []int{s.begin(port), s.begin(port)}
			g.until("a full queue", func() bool { return waiting(listener) == 2 })
			must(unix.Write(client, []byte("hello")))
			g.until("the ACK", func() bool { return g.counter("TcpExt ListenOverflows") >= 1 })
			mustDo(unix.SetsockoptLinger(client, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
			closeAll(client)
			for range others {
				server, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
				mustDo(err)
				others = append(others, server)
			}
			closeAll(others...)
			closeAll(listener)
			overflows = g.counter("TcpExt ListenOverflows")
		})
		full := of(events, event.QueueFull)
		if n := counted(full); n != overflows {
			t.Errorf("%d ACKs told, the kernel counts %d overflows", n, overflows)
		}
		for _, ev := range full {
			if want := (event.Queue{Length: 2, Limit: 1}); ev.Queue != want {
				t.Errorf("%+v, want %+v", ev.Queue, want)
			}
		}
		sent := of(events, event.ResetSent)
		if len(sent) != 1 || int(sent[0].Local.Port()) != late {
			t.Errorf("%d RSTs told, want one, of the client at port %d: %+v", len(sent), late, sent)
		}
	})
}

// Without SYN cookies, half-open connections fill the other queue.
func TestLive_QueueFull_OfRequests(t *testing.T) {
	var drops int
	events, _ := playOn(t, probe.Options{}, func(g *ground) {
		g.sysctl("tcp_syncookies", 0)
		listener, port := listen(2)
		iptables("-A", "OUTPUT", "-p", "tcp", "--sport", strconv.Itoa(port), "-j", "DROP") // SYN-ACKs
		var clients []int
		for range 5 {
			clients = append(clients, begin(port))
		}
		closeAll(clients...)
		closeAll(listener)
		drops = g.counter("TcpExt ListenDrops")
		if n := g.counter("TcpExt ListenOverflows"); n != 0 {
			panic(n)
		}
	})
	full := of(events, event.QueueFull)
	if n := counted(full); n != drops || n == 0 {
		t.Errorf("%d SYNs told, the kernel counts %d drops", n, drops)
	}
	for _, ev := range full {
		if q := ev.Queue; !q.SYN || q.Limit != 2 || q.Length < 2 || q.Length > 3 { // one more since 6.15
			t.Errorf("%+v", q)
		}
	}
}

// What a listener drops for another reason is no full queue.
func TestLive_QueueFull_NotByOtherDrops(t *testing.T) {
	events, _ := playOn(t, probe.Options{}, func(g *ground) {
		listener, port := listen(8)
		deafen(listener)
		client := begin(port)
		g.until("a SYN sent again", func() bool { return g.counter("Tcp RetransSegs") >= 1 })
		closeAll(client, listener)
	})
	if n := counted(of(events, event.QueueFull)); n != 0 {
		t.Errorf("%d told, want none", n)
	}
	if n := len(of(events, event.Dropped)); n < 2 {
		t.Errorf("%d packets dropped by the filter, want two or more", n)
	}
}

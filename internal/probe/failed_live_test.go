//go:build linux

package probe_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// withErrors asks for the tracepoints of system calls.
var withErrors = probe.Options{Errors: true}

// failures are the events of our own calls that failed.
func failures(t *testing.T, events []event.Event) (list []event.Event) {
	t.Helper()
	for _, ev := range of(events, event.Failed) {
		if ev.Task.PID != uint32(os.Getpid()) {
			t.Errorf("%v of process %d, want %d", ev.Err, ev.Task.PID, os.Getpid())
		}
		list = append(list, ev)
	}
	return list
}

// connect() to where no route leads fails before the socket has any state.
func TestLive_Failed_NoRoute(t *testing.T) {
	events, g := playOn(t, withErrors, func(g *ground) {
		client := socket()
		if err := unix.Connect(client, &unix.SockaddrInet4{Port: 443, Addr: [4]byte{192, 0, 2, 1}}); err != unix.ENETUNREACH {
			panic(err)
		}
		closeAll(client)
	})
	failed := failures(t, events)
	if len(failed) != 1 {
		t.Fatalf("%d failures told, want 1: %+v", len(failed), failed)
	}
	ev := failed[0]
	if ev.Op != event.OpConnect || ev.Err != event.ENETUNREACH || ev.Remote.String() != "192.0.2.1:443" || ev.Count != 1 || ev.ID.NetNS != g.inode {
		t.Errorf("%v %v to %v, %d times in %d", ev.Op, ev.Err, ev.Remote, ev.Count, ev.ID.NetNS)
	}
}

// One free port, and two connections: with the tracepoints of system calls and
// without them, the second is told of.
func TestLive_Failed_NoFreePort(t *testing.T) {
	for name, options := range map[string]probe.Options{"by calls": withErrors, "by transitions": {}} {
		t.Run(name, func(t *testing.T) {
			var port int
			events, _ := playOn(t, options, func(g *ground) {
				mustDo(os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40000"), 0))
				listener := socket()
				mustDo(unix.Bind(listener, &unix.SockaddrInet4{Addr: loopback, Port: 8080}))
				mustDo(unix.Listen(listener, 8))
				port = 8080
				first, second := socket(), socket()
				mustDo(connect(first, port))
				if err := connect(second, port); err != unix.EADDRNOTAVAIL {
					panic(err)
				}
				closeAll(first, second, listener)
			})
			failed := failures(t, events)
			if len(failed) != 1 {
				t.Fatalf("%d failures told, want 1: %+v", len(failed), failed)
			}
			if ev := failed[0]; ev.Op != event.OpConnect || ev.Err != event.EADDRNOTAVAIL || ev.Remote.Port() != uint16(port) || ev.Count != 1 {
				t.Errorf("%v %v to %v, %d times", ev.Op, ev.Err, ev.Remote, ev.Count)
			}
		})
	}
}

// A refused connect() is a transition with an error, and no failure besides, also
// where it is asked for twice.
func TestLive_Failed_NotByThePeer(t *testing.T) {
	events, _ := playOn(t, withErrors, func(g *ground) {
		listener, port := listen(8)
		closeAll(listener)
		blocking, later := socket(), begin(port)
		if err := connect(blocking, port); err != unix.ECONNREFUSED {
			panic(err)
		}
		if err := connect(later, port); err != unix.ECONNREFUSED {
			panic(err)
		}
		closeAll(blocking, later)
	})
	if failed := failures(t, events); len(failed) != 0 {
		t.Errorf("%d failures told: %+v", len(failed), failed)
	}
	refused := 0
	for _, ev := range of(events, event.State) {
		if ev.Old == tcp.SynSent && ev.New == tcp.Close && ev.Err == event.ECONNREFUSED {
			refused++
		}
	}
	if refused != 2 {
		t.Errorf("%d transitions by refusal, want 2", refused)
	}
}

// accept() without a free descriptor fails 1,009 times in a row: some are told,
// the rest counted, and none is missing. What waits for a connection is no
// failure.
func TestLive_Failed_NoDescriptorToAccept(t *testing.T) {
	const times = 1009
	var cookie uint64
	events, _ := playOn(t, withErrors, func(g *ground) {
		listener, port := listen(8)
		cookie = cookieOf(listener)
		mustDo(unix.SetNonblock(listener, true))
		if _, _, err := unix.Accept4(listener, 0); err != unix.EAGAIN {
			panic(err)
		}
		client := begin(port)
		defer fillDescriptors(listener)()
		for range times {
			if _, _, err := unix.Accept4(listener, 0); err != unix.EMFILE {
				panic(err)
			}
		}
		closeAll(client, listener)
	})
	failed := failures(t, events)
	for _, ev := range failed {
		if ev.Op != event.OpAccept || ev.Err != event.EMFILE || ev.ID.Cookie != cookie || ev.Old != tcp.Listen {
			t.Errorf("%v %v, cookie %x in %v", ev.Op, ev.Err, ev.ID.Cookie, ev.Old)
		}
	}
	if n := counted(failed); n != times || len(failed) > times/2 {
		t.Errorf("%d failures told in %d events, want %d in fewer", n, len(failed), times)
	}
}

// fillDescriptors gives the thread a table of descriptors of its own, which is
// full, until it ends; the tracer has its own. The returned function restores
// the process's limit.
func fillDescriptors(fd int) (restore func()) {
	mustDo(unix.Unshare(unix.CLONE_FILES))
	var old unix.Rlimit
	mustDo(unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	mustDo(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: min(old.Cur, 1024), Max: old.Max}))
	for {
		switch _, err := unix.Dup(fd); err {
		case nil:
		case unix.EMFILE:
			return func() { mustDo(unix.Setrlimit(unix.RLIMIT_NOFILE, &old)) }
		default:
			panic(err)
		}
	}
}

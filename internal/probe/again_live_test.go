//go:build linux

package probe_test

import (
	"os"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A socket whose connect() was refused may be used again. Its next connection
// has the same cookie, and another port; the kernel keeps the one before in
// inet_sport until it has found that.
func TestLive_SocketUsedAgain(t *testing.T) {
	var want []uint16
	events, _ := playOn(t, probe.Options{}, func(*ground) {
		listener, port := listen(1)
		client := socket()
		refuse := func() {
			dead, closed := listen(1)
			closeAll(dead)
			if err := connect(client, closed); err != unix.ECONNREFUSED {
				panic(err)
			}
		}
		refuse()
		refuse()
		mustDo(connect(client, port))
		want = []uint16{uint16(portOf(client))}
		closeAll(client, listener)
	})
	var got []uint16 // of the lives that were established
	tracker := conn.New(conn.Options{})
	for i := range events {
		tracker.Handle(&events[i], func(c *conn.Change) {
			if c.Kind == conn.Transition && c.Old == tcp.SynSent && c.New == tcp.Established {
				got = append(got, c.Conn.Local.Port())
			}
		})
	}
	if !slices.Equal(got, want) {
		t.Errorf("connected from port %d, seen as %d", want, got)
	}
}

// The socket is used once more and finds no free port: it had none in this life, so
// that is a failed call, as of a new socket, with the port of no earlier life.
func TestLive_SocketUsedAgain_FindsNoPort(t *testing.T) {
	bothSides(t, func(t *testing.T, s side) {
		t.Run("by transitions", func(t *testing.T) { findNoPort(t, s, probe.Options{}) })
		t.Run("by calls", func(t *testing.T) { findNoPort(t, s, withErrors) })
	})
}

func findNoPort(t *testing.T, s side, options probe.Options) {
	var old int
	events, _ := playOn(t, options, func(*ground) {
		mustDo(os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40000"), 0))
		listener, port := s.listen(8080, 8)
		client := s.socket()
		mustDo(s.connect(client, port))
		old = portOf(client)
		disconnect(client)
		other := s.socket()
		mustDo(s.connect(other, port))
		if err := s.connect(client, port); err != unix.EADDRNOTAVAIL {
			panic(err)
		}
		closeAll(listener, client, other)
	})
	failed := failures(t, events)
	if len(failed) != 1 || failed[0].Op != event.OpConnect || failed[0].Err != event.EADDRNOTAVAIL || failed[0].Remote.Port() != 8080 {
		t.Errorf("%d failures told, want 1, EADDRNOTAVAIL: %+v", len(failed), failed)
	}
	for _, l := range livesOf(events).lives {
		if l.conn.End == conn.EndUnsent && l.conn.Local.Port() != 0 {
			t.Errorf("what was never sent has port %v; that of the life before was %d", l.conn.Local, old)
		}
	}
	expectLives(t, events,
		want{conn.Client, "CLOSE SYN_SENT ESTABLISHED CLOSE", "reset_sent", nil},
		want{conn.Client, "CLOSE SYN_SENT CLOSE", "unsent", nil},
		want{conn.Client, "CLOSE SYN_SENT ESTABLISHED CLOSE", "reset_received", nil},
		want{conn.Server, "LISTEN SYN_RECV ESTABLISHED CLOSE", "reset_received", nil},
		want{conn.Server, "LISTEN SYN_RECV ESTABLISHED CLOSE", "reset_sent", nil})
}

// A socket that closes in SYN_SENT had a port, also where an earlier life had one.
func TestLive_SocketUsedAgain_GivesUp(t *testing.T) {
	bothSides(t, func(t *testing.T, s side) {
		var ports [2]int
		events, _ := playOn(t, probe.Options{}, func(g *ground) {
			listener, port := s.listen(0, 8)
			client := s.socket()
			mustDo(s.connect(client, port))
			ports[0] = portOf(client)
			disconnect(client)
			unblock := s.block("INPUT", "-p", "tcp", "--dport", strconv.Itoa(port), "-j", "DROP")
			mustDo(unix.SetNonblock(client, true))
			if err := s.connect(client, port); err != unix.EINPROGRESS {
				panic(err)
			}
			ports[1] = portOf(client)
			closeAll(client, listener)
			unblock()
		})
		if failed := failures(t, events); len(failed) != 0 {
			t.Errorf("%d failures told, want none: %+v", len(failed), failed)
		}
		var got []int
		for _, l := range livesOf(events).lives {
			if l.conn.Role == conn.Client {
				got = append(got, int(l.conn.Local.Port()))
			}
		}
		if !slices.Equal(got, ports[:]) {
			t.Errorf("seen with the ports %v, want %v", got, ports)
		}
		expectLives(t, events,
			want{conn.Client, "CLOSE SYN_SENT ESTABLISHED CLOSE", "reset_sent", nil},
			want{conn.Client, "CLOSE SYN_SENT CLOSE", "abandoned", nil},
			want{conn.Server, "LISTEN SYN_RECV ESTABLISHED CLOSE", "reset_received", nil})
	})
}

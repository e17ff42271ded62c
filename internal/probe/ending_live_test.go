//go:build linux

package probe_test

import (
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// leaveOrphan makes a connection whose client is closed and waits for the
// server's FIN, with a timewait socket.
func (s side) leaveOrphan(g *ground) (listener, client, server int) {
	listener, _ = s.listen(0, 8)
	fd, server := s.pair(listener)
	client = portOf(fd)
	closeAll(fd)
	g.until("FIN_WAIT2", func() bool { return s.inState(tcp.FinWait2) == 1 })
	return listener, client, server
}

// A RST meets the timewait socket of an orphan in FIN_WAIT2.
func TestLive_Ending_OrphanThatIsReset(t *testing.T) {
	bothSides(t, func(t *testing.T, s side) {
		events, _ := playOn(t, probe.Options{}, func(g *ground) {
			listener, _, server := s.leaveOrphan(g)
			mustDo(unix.SetsockoptLinger(server, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
			closeAll(server)
			g.until("its end", func() bool { return s.inState(tcp.FinWait2) == 0 })
			closeAll(listener)
		})
		expectLives(t, events,
			want{conn.Client, "CLOSE SYN_SENT ESTABLISHED FIN_WAIT1 FIN_WAIT2 CLOSE", "reset_received", []string{"reset"}},
			want{conn.Server, "LISTEN SYN_RECV ESTABLISHED CLOSE_WAIT CLOSE", "reset_sent", nil})
	})
}

// A timewait socket in TIME_WAIT is killed from outside.
func TestLive_Ending_TimeWaitThatIsKilled(t *testing.T) {
	bothSides(t, func(t *testing.T, s side) {
		events, _ := playOn(t, probe.Options{}, func(g *ground) {
			listener, client, server := s.leaveOrphan(g)
			closeAll(server)
			g.until("TIME_WAIT", func() bool { return s.inState(tcp.TimeWait) == 1 })
			mustDo(s.kill(client, portOf(listener)))
			g.until("its end", func() bool { return s.inState(tcp.TimeWait) == 0 })
			closeAll(listener)
		})
		expectLives(t, events,
			want{conn.Client, "CLOSE SYN_SENT ESTABLISHED FIN_WAIT1 FIN_WAIT2 TIME_WAIT CLOSE", "fin", []string{"killed"}},
			want{conn.Server, "LISTEN SYN_RECV ESTABLISHED CLOSE_WAIT LAST_ACK CLOSE", "fin", nil})
	})
}

// The timewait socket of an orphan in FIN_WAIT2 is killed from outside: the
// server's FIN meets nobody.
func TestLive_Ending_OrphanThatIsKilled(t *testing.T) {
	bothSides(t, func(t *testing.T, s side) {
		events, _ := playOn(t, probe.Options{}, func(g *ground) {
			listener, client, server := s.leaveOrphan(g)
			mustDo(s.kill(client, portOf(listener)))
			g.until("its end", func() bool { return s.inState(tcp.FinWait2) == 0 })
			closeAll(server)
			g.until("the server's end", func() bool { return s.inState(tcp.LastAck) == 0 })
			closeAll(listener)
		})
		expectLives(t, events,
			want{conn.Client, "CLOSE SYN_SENT ESTABLISHED FIN_WAIT1 FIN_WAIT2 CLOSE", "aborted", []string{"killed"}},
			want{conn.Server, "LISTEN SYN_RECV ESTABLISHED CLOSE_WAIT LAST_ACK CLOSE", "reset_received", nil})
	})
}

// leaveHalfOpen makes a request that no SYN-ACK answers.
func (s side) leaveHalfOpen(g *ground) (listener, client int, unblock func()) {
	listener, port := s.listen(0, 8)
	unblock = s.block("OUTPUT", "-p", "tcp", "--sport", strconv.Itoa(port), "-j", "DROP")
	client = s.begin(port)
	g.until("SYN_RECV", func() bool { return s.inState(tcp.SynRecv) == 1 })
	return listener, client, unblock
}

// A request is killed from outside, as with "ss -K state syn-recv".
func TestLive_Ending_RequestThatIsKilled(t *testing.T) {
	bothSides(t, func(t *testing.T, s side) {
		events, _ := playOn(t, probe.Options{}, func(g *ground) {
			listener, client, unblock := s.leaveHalfOpen(g)
			mustDo(s.kill(portOf(listener), portOf(client)))
			g.until("its end", func() bool { return s.inState(tcp.SynRecv) == 0 })
			closeAll(client, listener)
			unblock()
		})
		expectLives(t, events,
			want{conn.Client, "CLOSE SYN_SENT CLOSE", "abandoned", nil},
			want{conn.Server, "LISTEN SYN_RECV CLOSE", "aborted", []string{"killed"}})
	})
}

// The listener of a request is closed: the request lives until its timer runs.
func TestLive_Ending_RequestWithoutAListener(t *testing.T) {
	bothSides(t, func(t *testing.T, s side) {
		events, _ := playOn(t, probe.Options{}, func(g *ground) {
			listener, client, unblock := s.leaveHalfOpen(g)
			closeAll(client, listener)
			if n := s.inState(tcp.SynRecv); n != 1 {
				panic(n)
			}
			g.until("its end", func() bool { return s.inState(tcp.SynRecv) == 0 })
			unblock()
		})
		expectLives(t, events,
			want{conn.Client, "CLOSE SYN_SENT CLOSE", "abandoned", nil},
			want{conn.Server, "LISTEN SYN_RECV CLOSE", "timeout", []string{"timeout"}})
	})
}

// ICMP says that the SYN arrived nowhere.
func TestLive_Ending_Unreachable(t *testing.T) {
	says := map[string]string{"ipv4": "icmp-host-unreachable", "ipv6": "icmp6-addr-unreachable"}
	bothSides(t, func(t *testing.T, s side) {
		events, _ := playOn(t, probe.Options{}, func(g *ground) {
			listener, port := s.listen(0, 8)
			unblock := s.block("INPUT", "-p", "tcp", "--dport", strconv.Itoa(port), "-j", "REJECT", "--reject-with", says[s.name])
			client := s.begin(port)
			g.until("CLOSE", func() bool { return stateOf(client) == tcp.Close })
			if err := must(unix.GetsockoptInt(client, unix.SOL_SOCKET, unix.SO_ERROR)); unix.Errno(err) != unix.EHOSTUNREACH {
				panic(unix.Errno(err))
			}
			closeAll(client, listener)
			unblock()
		})
		expectLives(t, events, want{conn.Client, "CLOSE SYN_SENT CLOSE", "unreachable", nil})
	})
}

// There is no room for any timewait socket: one end goes to CLOSE from FIN_WAIT2,
// the other from CLOSING.
func TestLive_Ending_NoRoomForTimeWait(t *testing.T) {
	bothSides(t, func(t *testing.T, s side) {
		events, _ := playOn(t, probe.Options{}, func(g *ground) {
			g.sysctl("tcp_max_tw_buckets", 0)
			listener, port := s.listen(0, 8)
			client, server := s.pair(listener)
			fin := []string{"INPUT", "-p", "tcp", "--tcp-flags", "FIN", "FIN", "-j", "DROP"}
			toServer := s.block(append(fin, "--dport", strconv.Itoa(port))...)
			toClient := s.block(append(fin, "--sport", strconv.Itoa(port))...)
			mustDo(unix.Shutdown(client, unix.SHUT_WR))
			mustDo(unix.Shutdown(server, unix.SHUT_WR))
			toServer()
			g.until("CLOSING", func() bool { return stateOf(server) == tcp.Closing && stateOf(client) == tcp.FinWait2 })
			toClient()
			g.until("CLOSE", func() bool { return stateOf(server) == tcp.Close && stateOf(client) == tcp.Close })
			closeAll(client, server, listener)
		})
		expectLives(t, events,
			want{conn.Client, "CLOSE SYN_SENT ESTABLISHED FIN_WAIT1 FIN_WAIT2 CLOSE", "overflow", []string{"overflow"}},
			want{conn.Server, "LISTEN SYN_RECV ESTABLISHED FIN_WAIT1 CLOSING CLOSE", "overflow", []string{"overflow"}})
	})
}

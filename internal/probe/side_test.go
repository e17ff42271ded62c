//go:build linux

package probe_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A side is one of the two addresses of a ground's loopback device.
type side struct {
	name     string
	domain   int
	addr     netip.Addr
	table    string // in /proc/net
	firewall string
}

var sides = []side{
	{"ipv4", unix.AF_INET, netip.AddrFrom4(loopback), "tcp", "iptables"},
	{"ipv6", unix.AF_INET6, netip.IPv6Loopback(), "tcp6", "ip6tables"},
}

func (s side) at(port int) unix.Sockaddr {
	if s.domain == unix.AF_INET6 {
		return &unix.SockaddrInet6{Port: port, Addr: s.addr.As16()}
	}
	return &unix.SockaddrInet4{Port: port, Addr: s.addr.As4()}
}

func bothSides(t *testing.T, run func(t *testing.T, s side)) {
	for _, s := range sides {
		t.Run(s.name, func(t *testing.T) { run(t, s) })
	}
}

func (s side) socket() int { return must(unix.Socket(s.domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)) }

// listen listens on port; 0 is one that the kernel chooses.
func (s side) listen(port, backlog int) (fd, at int) {
	fd = s.socket()
	mustDo(unix.Bind(fd, s.at(port)))
	mustDo(unix.Listen(fd, backlog))
	return fd, portOf(fd)
}

func (s side) connect(fd, port int) error { return unix.Connect(fd, s.at(port)) }

// begin starts to connect, and returns the socket.
func (s side) begin(port int) int {
	client := s.socket()
	mustDo(unix.SetNonblock(client, true))
	if err := s.connect(client, port); err != nil && err != unix.EINPROGRESS {
		panic(fmt.Sprintf("connect: %v", err))
	}
	return client
}

// pair returns the two ends of a connection to the listener.
func (s side) pair(listener int) (client, server int) {
	client = s.socket()
	mustDo(s.connect(client, portOf(listener)))
	server, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	mustDo(err)
	return client, server
}

// block adds a rule to the firewall, and returns what takes it away.
func (s side) block(rule ...string) (unblock func()) {
	run := func(how string) {
		args := append([]string{"-w", how}, rule...)
		if out, err := exec.Command(s.firewall, args...).CombinedOutput(); err != nil {
			panic(fmt.Sprintf("%s %s: %v: %s", s.firewall, strings.Join(args, " "), err, out))
		}
	}
	run("-A")
	return func() { run("-D") }
}

// inState counts the sockets of a state, of all kinds.
func (s side) inState(state tcp.State) (n int) {
	table := must(os.ReadFile("/proc/thread-self/net/" + s.table))
	for line := range bytes.Lines(table) {
		if f := bytes.Fields(line); len(f) > 3 && string(f[3]) == fmt.Sprintf("%02X", uint8(state)) {
			n++
		}
	}
	return n
}

func stateOf(fd int) tcp.State { return tcp.State(info(fd).State) }

// livesOf is what a tracker makes of the events.
func livesOf(events []event.Event) *sighting {
	w := &watcher{tracker: conn.New(conn.Options{}), byConn: map[*conn.Connection]*life{}}
	w.seen.transitions = map[lab.Transition]int{}
	for i := range events {
		w.handle(&events[i])
	}
	w.tracker.Finish(w.last, w.change)
	return &w.seen
}

// A role's life is as it must be.
type want struct {
	role   conn.Role
	states string
	end    string
	causes []string
}

// expectLives holds all that was seen, but for listeners, against what must be.
func expectLives(t *testing.T, events []event.Event, wants ...want) {
	t.Helper()
	seen := livesOf(events)
	if seen.lost != 0 || seen.illegal != 0 {
		t.Errorf("%d events lost, %d illegal transitions", seen.lost, seen.illegal)
	}
	var got []string
	for _, l := range seen.lives {
		if l.conn.Listener() {
			continue
		}
		got = append(got, fmt.Sprintf("%v: %s: %v %v complete=%v ended=%d", l.conn.Role, strings.Join(l.states, " "), l.conn.End, l.causes, l.conn.Complete, l.ended))
	}
	var expected []string
	for _, w := range wants {
		expected = append(expected, fmt.Sprintf("%v: %s: %v %v complete=true ended=1", w.role, w.states, w.end, w.causes))
	}
	slices.Sort(got)
	slices.Sort(expected)
	if !slices.Equal(got, expected) {
		t.Errorf("seen\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(expected, "\n\t"))
	}
}

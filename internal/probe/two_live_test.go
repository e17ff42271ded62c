//go:build linux

package probe_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/probe"
)

// A user with two capabilities sees both ends of a connection whole, the request
// and the timewait socket included, whose timers it knows of sockets of its own on
// the host's loopback: it may make no namespace.
func TestLive_TwoCapabilities(t *testing.T) {
	const count = 7
	if os.Getenv(twoVar) != "" {
		traceLoopback(count)
		return
	}
	if os.Geteuid() != 0 {
		t.Fatal("live tests trace real sockets: run them as root")
	}
	want := slices.Concat(
		slices.Repeat([]string{"saw: CLOSE SYN_SENT ESTABLISHED FIN_WAIT1 FIN_WAIT2 CLOSE, expired, fin_wait2_timeout"}, count),
		slices.Repeat([]string{"saw: LISTEN SYN_RECV ESTABLISHED CLOSE_WAIT LAST_ACK CLOSE, , reset_received"}, count),
	)
	var got []string
	lab.Unshielded(t.Logf, func() {
		got = nil
		for _, line := range withTwoCapabilities(t) {
			if strings.HasPrefix(line, "saw: ") {
				got = append(got, line)
			}
		}
	})
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// traceLoopback prints the lives of connections to itself. Each client's orphan
// gives up FIN_WAIT2 after a second, so that nothing is left.
func traceLoopback(count int) {
	listener, port := listen(count)
	source, err := open(probe.Options{NoSweep: true, Filter: filter.Filter{Ports: []uint16{uint16(port)}}})
	if err != nil {
		fmt.Printf("refused: %v\n", err)
		return
	}
	if c := capability(source, "cookie of a new socket"); c.Grade != probe.Exact {
		fmt.Printf("skipped: a connection's first transition cannot be told to be its own: %s\n", c.Why)
		return
	}
	w := &watcher{tracker: conn.New(conn.Options{}), byConn: map[*conn.Connection]*life{}}
	w.seen.transitions = map[lab.Transition]int{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- source.Run(ctx, w.handle) }()
	var servers []int
	for range count {
		client, server := pair(listener)
		mustDo(unix.SetsockoptInt(client, unix.IPPROTO_TCP, unix.TCP_LINGER2, 1))
		closeAll(client)
		servers = append(servers, server)
	}
	(&ground{}).until("the clients' end", func() bool { return clientsOf(port) == 0 })
	closeAll(append(servers, listener)...)
	cancel()
	mustDo(<-done)
	mustDo(source.Close())
	w.tracker.Finish(w.last, w.change)
	for _, l := range w.seen.lives {
		if p := uint16(port); !l.conn.Remote.IsValid() || l.conn.Local.Port() != p && l.conn.Remote.Port() != p {
			continue // the listener, or a stranger whose port was not known
		}
		fmt.Printf("saw: %s, %s, %v\n", strings.Join(l.states, " "), strings.Join(l.causes, " "), l.conn.End)
	}
}

// clientsOf counts the sockets of this namespace whose peer has the port
// (/proc/net/tcp: the third column is the remote address).
func clientsOf(port int) (n int) {
	for line := range strings.Lines(string(must(os.ReadFile("/proc/self/net/tcp")))) {
		if f := strings.Fields(line); len(f) > 2 && strings.HasSuffix(f[2], fmt.Sprintf(":%04X", port)) {
			n++
		}
	}
	return n
}

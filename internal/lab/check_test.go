//go:build linux

package lab_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// checkSockets compares the namespaces' sockets, as inet_diag lists them, with
// the cookies of the truth and the state that each must be in now.
func checkSockets(t *testing.T, truth *lab.Truth, want expectation) {
	t.Helper()
	wanted, nameless := map[lab.Cookie]string{}, map[string]int{}
	add := func(cookie lab.Cookie, s tcp.State) {
		switch {
		case s == tcp.Unknown:
		case cookie == 0:
			nameless[s.String()]++ // a request socket: nobody can ask for its cookie
		default:
			wanted[cookie] = s.String()
		}
	}
	for _, c := range truth.Conns {
		add(c.ClientCookie, want.client)
		add(c.ServerCookie, want.server)
	}
	for _, l := range truth.Listeners {
		wanted[l.Cookie] = "LISTEN"
	}
	got, gotNameless := map[lab.Cookie]string{}, map[string]int{}
	for i := range truth.NetNS {
		err := truth.NetNS[i].Do(func() error {
			for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
				sockets, err := netlink.SocketDiagTCP(family)
				if err != nil {
					return err
				}
				for _, s := range sockets {
					cookie := lab.Cookie(uint64(s.ID.Cookie[1])<<32 | uint64(s.ID.Cookie[0]))
					state := tcp.State(s.State).String()
					if _, known := wanted[cookie]; known || nameless[state] == 0 {
						got[cookie] = state
					} else {
						gotNameless[state]++
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Errorf("list sockets: %v", err)
		}
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("sockets (-story +kernel):\n%s", diff)
	}
	if diff := cmp.Diff(nameless, gotNameless); diff != "" {
		t.Errorf("request sockets (-story +kernel):\n%s", diff)
	}
}

func checkCounters(t *testing.T, truth *lab.Truth, want counts) {
	t.Helper()
	got := counts{}
	for _, ns := range truth.NetNS {
		for _, name := range audited {
			if v := ns.Counters[name]; v != 0 {
				got[name] += v
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counters (-story +kernel):\n%s", diff)
	}
}

// checkConns looks for what no connection of a story may lack.
func checkConns(t *testing.T, truth *lab.Truth, want expectation) {
	t.Helper()
	seen := map[lab.Cookie]bool{0: true}
	for i, c := range truth.Conns {
		stranger := c.ClientStates == nil // no socket of ours
		if seen[c.ClientCookie] && !stranger || c.ServerCookie != 0 && seen[c.ServerCookie] {
			t.Errorf("connection %d: cookie %v or %v comes twice, or is missing", i, c.ClientCookie, c.ServerCookie)
		}
		seen[c.ClientCookie], seen[c.ServerCookie] = true, true
		if c.ClientErrno != "EADDRNOTAVAIL" && (!c.Client.IsValid() || c.Client.Port() == 0) || c.Server.Port() == 0 {
			t.Errorf("connection %d: addresses %v and %v", i, c.Client, c.Server)
		}
		if !stranger && (c.ClientPID == os.Getpid()) == want.othersConnect {
			t.Errorf("connection %d: client's PID %d, ours %d", i, c.ClientPID, os.Getpid())
		}
		if i < lab.DefaultN && waits(c) && want.cause != c.TimeWaitCause && c.TimeWaitCause != "overflow" && truth.Elapsed < 50*time.Second {
			t.Errorf("connection %d: TIME_WAIT ended by %q, want %q", i, c.TimeWaitCause, want.cause)
		}
		for _, s := range append(c.ClientStays, c.ServerStays...) {
			if s.Min <= 0 || s.Max < s.Min {
				t.Errorf("connection %d: %s lasts %v to %v", i, s.State, s.Min, s.Max)
			}
		}
	}
}

// waits reports whether one end of c has a timewait socket, or may have one.
func waits(c lab.TruthConn) bool {
	states := append(slices.Clone(c.ClientStates), c.ServerStates...)
	return slices.Contains(states, "TIME_WAIT") || slices.Contains(states, "FIN_WAIT2")
}

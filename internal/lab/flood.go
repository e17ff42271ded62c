//go:build linux

package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Stories of many SYNs: a flood of them from strangers, and a scan.

func floodStories() []Story {
	flood := Story{
		Rule:     "syn-flood",
		Server:   halfOpen,
		Networks: []Network{Wire},
		Takes:    synTimeout,
		Count:    211,
		play:     playFlood,
	}
	drops, cookies := flood, flood
	drops.Name = "syn-flood"
	drops.Doc = "SYNs from 7 addresses that never answer, twice as many as the listener's backlog: half of them stay in SYN_RECV for 3 s " +
		"(tcp_synack_retries 1), the others are dropped"
	drops.sysctls = [][2]string{{"net.ipv4.tcp_synack_retries", "1"}, {"net.ipv4.tcp_syncookies", "0"}}
	cookies.Name = "syn-flood-cookies"
	cookies.Doc = "the same, but the others are answered by SYN cookies (tcp_syncookies 1), and nothing is kept of them"
	cookies.sysctls = [][2]string{{"net.ipv4.tcp_synack_retries", "1"}, {"net.ipv4.tcp_syncookies", "1"}}
	return []Story{drops, cookies, {
		Name: "connect-scan",
		Doc: "one process tries many ports of one host, where nobody listens, and as many other hosts, which do not answer " +
			"(3 s, tcp_syn_retries 1)",
		Rule:     "connect-scan",
		Client:   givenUp,
		Networks: []Network{Wire},
		Takes:    synTimeout,
		together: true,
		sysctls:  [][2]string{{"net.ipv4.tcp_syn_retries", "1"}, {"?net.ipv4.tcp_syn_linear_timeouts", "0"}},
		play:     playScan,
	}}
}

// strangers is how many addresses a flood comes from.
const strangers = 7

// strangerAddr returns the i-th of 250 addresses that are nobody's: those for
// documentation (RFC 5737, RFC 3849).
func strangerAddr(i int, v6 bool) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: byte(i%250 + 1)})
	}
	return netip.AddrFrom4([4]byte{203, 0, 113, byte(i%250 + 1)})
}

// routeAll routes everything through the wire, in the calling thread's
// namespace.
func routeAll(v6 bool) error {
	link, err := netlink.LinkByName(deviceName)
	if err != nil {
		return fmt.Errorf("find %s: %w", deviceName, err)
	}
	dst := &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	if v6 {
		dst = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst, Scope: unix.RT_SCOPE_LINK}); err != nil {
		return fmt.Errorf("add a default route through %s: %w", deviceName, err)
	}
	return nil
}

func playFlood(ctx context.Context, st *stage) error {
	if err := st.net.server.do(func() error { return routeAll(st.p.IPv6) }); err != nil {
		return err
	}
	w := st.net.wire
	w.setRule(func(*wire, segment) {}) // nobody is there to answer
	if err := st.listenWith(max(1, st.p.N/2)); err != nil {
		return err
	}
	begun := time.Now()
	source := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(strangerAddr(i%strangers, st.p.IPv6), uint16(firstPort+i))
	}
	for i := range st.p.N {
		w.locked(func() { w.pass(newSYN(source(i), st.serverAddr())) })
	}
	// The kernel has dealt with all: what it keeps of them it has by now. That
	// is as many as the backlog says, and on newer kernels one more
	// (inet_csk_reqsk_queue_is_full).
	now, err := st.census()
	if err != nil {
		return err
	}
	all := time.Now()
	for i := range now[tcp.SynRecv] {
		st.truth.Conns = append(st.truth.Conns, TruthConn{
			Client:       source(i),
			Server:       st.serverAddr(),
			ServerNetNS:  st.net.server.inode,
			ServerPID:    os.Getpid(),
			ServerStates: names(halfOpen),
			ServerEnd:    "timeout",
			RequestCause: "timeout",
		})
	}
	st.truth.Count = st.p.N
	if now[tcp.SynRecv] < st.p.N/2 {
		return fmt.Errorf("%d SYNs were sent, and there is %v", st.p.N, now)
	}
	if err := st.ours(now[tcp.SynRecv]); err != nil {
		return err
	}
	if err := st.held(); err != nil {
		return err
	}
	if err := st.await(ctx, census{}); err != nil {
		return err
	}
	b := bracket{begunAfter: begun, begunBefore: all, endedBefore: time.Now()}
	for i := range st.truth.Conns {
		st.truth.Conns[i].ServerStays = []Stay{b.atLeast(synTimeout, tcp.SynRecv)}
	}
	return nil
}

func playScan(ctx context.Context, st *stage) error {
	if err := st.net.client.do(func() error { return routeAll(st.p.IPv6) }); err != nil {
		return err
	}
	st.net.wire.setRule(func(w *wire, s segment) {
		if s.flow().server.Addr() == st.net.serverAddr {
			w.pass(s)
		}
	})
	pairs := make([]*pair, st.p.N)
	for i := range pairs {
		to := netip.AddrPortFrom(st.net.serverAddr, uint16(1000+i))
		if i%2 == 1 {
			to = netip.AddrPortFrom(strangerAddr(i/2, st.p.IPv6), uint16(1000+i))
		}
		var err error
		if pairs[i], err = st.begin(netip.AddrPort{}, to); err != nil {
			return err
		}
		if i%2 == 0 {
			if err := st.fails(ctx, pairs[i], unix.ECONNREFUSED, "refused"); err != nil {
				return err
			}
		}
	}
	silent := st.p.N / 2
	for _, f := range []Failure{
		{Op: "connect", Errno: "ECONNREFUSED", Count: st.p.N - silent},
		{Op: "connect", Errno: "ETIMEDOUT", Count: silent},
	} {
		if err := st.failed(f); err != nil {
			return err
		}
	}
	if err := st.await(ctx, census{tcp.SynSent: silent}); err != nil {
		return err
	}
	if err := st.ours(st.p.N); err != nil {
		return err
	}
	if err := st.held(); err != nil {
		return err
	}
	for i := 1; i < len(pairs); i += 2 {
		if err := st.fails(ctx, pairs[i], unix.ETIMEDOUT, "timeout"); err != nil {
			return err
		}
	}
	return st.await(ctx, census{})
}

//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Stories of clients that use up the ports of ip_local_port_range.

const firstEphemeral = 40_000

var noReuse = [2]string{"net.ipv4.tcp_tw_reuse", "0"} // by default it is allowed over loopback

func portStories() []Story {
	return []Story{{
		Name:     "time-wait-pressure",
		Doc:      "short connections to one address, which the client closes first: TIME_WAIT holds four fifths of ip_local_port_range",
		Rule:     "time-wait-pressure",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: everywhere,
		Hold:     500 * time.Millisecond,
		MaxHold:  50 * time.Second,
		sysctls:  [][2]string{noReuse},
		play:     playPressure,
	}, {
		Name: "ephemeral-port-exhaustion",
		Doc: "ip_local_port_range has ports for two thirds of the connections, half of which stay open and half are in TIME_WAIT: " +
			"connect() fails with EADDRNOTAVAIL for the last third",
		Rule:     "ephemeral-port-exhaustion",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: everywhere,
		together: true,
		sysctls:  [][2]string{noReuse},
		play:     playNoPorts,
	}, {
		Name:     "ephemeral-port-pool",
		Doc:      "connections that stay open to one address hold all ports of ip_local_port_range but one or two",
		Rule:     "ephemeral-port-exhaustion",
		Client:   path(opened, closesSecond),
		Server:   path(accepted, closesFirst),
		Networks: everywhere,
		Hold:     500 * time.Millisecond,
		MaxHold:  50 * time.Second,
		together: true,
		play:     playPool,
	}}
}

// even is n, or one less. Of an odd number of ports connect() does not always
// find the last one (inet_hash_connect goes by twos).
func even(n int) int { return n &^ 1 }

func playPressure(ctx context.Context, st *stage) error {
	st.rangeSet = true
	if err := st.setRange(firstEphemeral, even(st.p.N+st.p.N/4+1)); err != nil {
		return err
	}
	if err := st.listen(); err != nil {
		return err
	}
	if _, _, err := st.waiting(ctx, nil, clientFirst); err != nil {
		return err
	}
	if err := st.ours(st.p.N); err != nil {
		return err
	}
	return st.stay(ctx)
}

func playNoPorts(ctx context.Context, st *stage) error {
	ports := max(1, even(st.p.N-st.p.N/3))
	without := st.p.N - ports
	st.rangeSet = true
	if err := st.setRange(firstEphemeral, ports); err != nil {
		return err
	}
	if err := st.listen(); err != nil {
		return err
	}
	pairs := make([]*pair, ports)
	for i := range pairs {
		var err error
		if pairs[i], err = st.open(ctx, netip.AddrPort{}); err != nil {
			return err
		}
	}
	closed := ports / 2
	for _, pr := range pairs[:closed] {
		if err := st.closeInTurn(ctx, pr); err != nil {
			return err
		}
	}
	if err := st.await(ctx, census{tcp.TimeWait: closed, tcp.Established: 2 * (ports - closed)}); err != nil {
		return err
	}
	for range without {
		if err := st.beginWithoutPort(); err != nil {
			return err
		}
	}
	if err := st.failed(Failure{Op: "connect", Errno: "EADDRNOTAVAIL", Count: without}); err != nil {
		return err
	}
	if err := st.ours(without); err != nil {
		return err
	}
	if err := st.held(); err != nil {
		return err
	}
	for _, pr := range pairs[closed:] {
		if err := st.closeInTurn(ctx, pr); err != nil {
			return err
		}
	}
	return st.rest(ctx, ports)
}

func playPool(ctx context.Context, st *stage) error {
	st.rangeSet = true
	if err := st.setRange(firstEphemeral, even(st.p.N+2)); err != nil {
		return err
	}
	pairs, err := st.openAll(ctx)
	if err != nil {
		return err
	}
	if err := st.ours(st.p.N); err != nil {
		return err
	}
	if err := st.stay(ctx); err != nil {
		return err
	}
	for _, pr := range pairs {
		st.ended(pr, "fin", "fin").TimeWaitCause = "netns_exit"
		if err := closeBoth(ctx, pr.server, pr.client); err != nil {
			return err
		}
	}
	return st.rest(ctx, st.p.N)
}

func (st *stage) closeInTurn(ctx context.Context, pr *pair) error {
	st.ended(pr, "fin", "fin").TimeWaitCause = "netns_exit"
	return closeBoth(ctx, pr.client, pr.server)
}

// beginWithoutPort calls connect() where no port is free: the socket leaves
// CLOSE for an instant.
func (st *stage) beginWithoutPort() error {
	k, err := st.client(netip.AddrPort{})
	if err != nil {
		return err
	}
	if err := k.startConnect(st.serverAddr()); !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("connect: %v instead of EADDRNOTAVAIL", err)
	}
	pr, err := st.enter(k, st.serverAddr())
	if err != nil {
		return err
	}
	c := st.ended(pr, "unsent", "")
	c.ClientStates, c.ServerStates = names(givenUp), nil
	c.ClientErrno, c.ServerPID = "EADDRNOTAVAIL", 0
	return k.close()
}

//go:build linux

package lab

import (
	"context"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/google/nftables"
)

// Stories of packets that the host itself drops, and says why.

// firewallStories tell of a firewall that is the client's own.
func firewallStories() []Story {
	return []Story{{
		Name:     "syn-firewalled",
		Doc:      "a firewall of the client's own namespace drops its SYN and the one retransmit as they leave: connect() times out after 3 s",
		Rule:     "connect-timeout",
		Client:   givenUp,
		Networks: []Network{Veth, Loopback},
		Takes:    synTimeout,
		together: true,
		sysctls:  [][2]string{{"net.ipv4.tcp_syn_retries", "1"}, {"?net.ipv4.tcp_syn_linear_timeouts", "0"}},
		play:     playFirewalled,
	}}
}

func playFirewalled(ctx context.Context, st *stage) error {
	f, err := newPacketFilterAt(st.net.client, nftables.ChainHookOutput)
	if err != nil {
		return err
	}
	f.drop(toPort(serverPort)...)
	if err := f.apply(); err != nil {
		return err
	}
	if err := st.unanswered(ctx); err != nil {
		return err
	}
	return f.remove()
}

// receiverStory is unlisted, as how often the clients try is left to chance.
func receiverStory() Story {
	return Story{
		Name: "storm-receiver",
		Doc: "the servers do not read, and lower their receive buffers below what is in them: what the clients say next is" +
			" dropped, for hold, until the servers have room again",
		Rule:     "retransmit-storm",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: []Network{Loopback},
		Count:    101,
		Hold:     2 * time.Second,
		MaxHold:  time.Minute,
		together: true,
		play:     playFullReceiver,
	}
}

// morsel is more than the smallest receive buffer holds, and less than the first
// window.
var morsel = strings.Repeat("x", 16<<10)

func playFullReceiver(ctx context.Context, st *stage) error {
	pairs, err := st.openSettled(ctx)
	if err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := pr.client.write(morsel); err != nil {
			return err
		}
	}
	for _, pr := range pairs {
		if err := pr.settle(ctx); err != nil {
			return err
		}
		if err := pr.server.set(unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil { // the least there is
			return err
		}
		if err := pr.client.write(morsel); err != nil {
			return err
		}
	}
	if err := sleep(ctx, st.p.Hold); err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := pr.server.set(unix.SOL_SOCKET, unix.SO_RCVBUF, 4*len(morsel)); err != nil {
			return err
		}
		if err := pr.server.hearAll(ctx, len(morsel)); err != nil {
			return err
		}
	}
	for _, pr := range pairs {
		if err := pr.server.hearAll(ctx, len(morsel)); err != nil {
			return err
		}
	}
	return st.endTogether(ctx, pairs)
}

//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// ErrNotOwnHost says that a story sets a sysctl that no network namespace has of
// its own, and so befalls connections that are none of the story's.
var ErrNotOwnHost = errors.New("it sets a sysctl of the whole host: it plays where " + ownHostVar + " is set, as in the guests of cmd/testkernel")

// ownHostVar is set where the whole host is there for the stories alone.
const ownHostVar = "TCPLAB_OWN_HOST"

func ownsHost() error {
	if os.Getenv(ownHostVar) == "" {
		return ErrNotOwnHost
	}
	return nil
}

// hostStories are about limits of the whole host, so Stories does not list them.
func hostStories() []Story {
	return []Story{{
		Name: "reset-orphan-limit",
		Doc: "the clients close, and as the host has more orphans than tcp_max_orphans the kernel does not wait for the" +
			" acknowledgement: a RST follows the FIN",
		Client:   path(opened, []tcp.State{tcp.FinWait1, tcp.Close}),
		Server:   path(accepted, abortedFIN),
		Networks: []Network{Wire},
		together: true,
		needs:    ownsHost,
		play:     playOrphanLimit,
	}}
}

const maxOrphans = "/proc/sys/net/ipv4/tcp_max_orphans"

func playOrphanLimit(ctx context.Context, st *stage) error {
	pairs, err := st.openSettled(ctx)
	if err != nil {
		return err
	}
	// An acknowledgement would meet no socket, and get a RST of its own.
	st.net.wire.setRule(func(w *wire, s segment) {
		if s.from == clientSide {
			w.pass(s)
		}
	})
	if err := withoutOrphans(func() error {
		for _, pr := range pairs {
			if err := pr.client.close(); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := pr.server.reach(ctx, tcp.Close); err != nil {
			return err
		}
		if err := pr.server.close(); err != nil {
			return err
		}
		st.ended(pr, "reset_sent", "reset_received").sends("client", "orphan-limit", os.Getpid())
	}
	return st.await(ctx, census{})
}

// withoutOrphans allows none while do runs: 0 would allow those that the kernel
// has not counted yet, which it does every 100 ms (tcp_orphan_update).
func withoutOrphans(do func() error) (err error) {
	before, err := os.ReadFile(maxOrphans)
	if err != nil {
		return fmt.Errorf("read tcp_max_orphans: %w", err)
	}
	if err := os.WriteFile(maxOrphans, []byte("-1"), 0); err != nil {
		return fmt.Errorf("set tcp_max_orphans: %w", err)
	}
	defer func() {
		if restored := os.WriteFile(maxOrphans, []byte(strings.TrimSpace(string(before))), 0); restored != nil {
			err = errors.Join(err, fmt.Errorf("restore tcp_max_orphans: %w", restored))
		}
	}()
	return do()
}

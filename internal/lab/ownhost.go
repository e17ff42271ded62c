//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

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
	}, {
		Name: "reset-memory-limit",
		Doc: "the clients close with much that is not acknowledged, and as all sockets together have more memory than tcp_mem" +
			" allows the kernel keeps none of it: a RST takes the place of the rest",
		Client:   path(opened, []tcp.State{tcp.FinWait1, tcp.Close}),
		Server:   path(accepted, aborted),
		Networks: []Network{Wire},
		together: true,
		sysctls:  [][2]string{{"net.ipv4.tcp_wmem", "4096 1048576 1048576"}, {"net.ipv4.tcp_early_retrans", "0"}},
		needs:    ownsHost,
		play:     playMemoryLimit,
	}}
}

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
	// -1, since 0 would allow those that the kernel has not counted yet, which it
	// does every 100 ms (tcp_orphan_update).
	return st.overLimit(ctx, pairs, "orphan-limit", "tcp_max_orphans", "-1", func() error { return nil })
}

// playMemoryLimit has the servers hold memory, too, until all clients have
// closed: each of these frees its own. The clients have more to send than they may:
// a FIN behind what was sent, when memory is short, is taken for sent
// (tcp_send_fin), and the RST would then not be the next that the server expects.
func playMemoryLimit(ctx context.Context, st *stage) error {
	pairs, err := st.openSettled(ctx)
	if err != nil {
		return err
	}
	var resets []segment
	st.net.wire.lose(newLossWatch(), nil) // copies pass, too
	st.net.wire.setRule(func(w *wire, s segment) {
		switch {
		case s.from == serverSide:
		case s.flags&flagRST != 0:
			resets = append(resets, s.clone())
		default:
			w.pass(s)
		}
	})
	for _, pr := range pairs {
		if err := errors.Join(pr.server.fill(), pr.client.fill()); err != nil {
			return err
		}
	}
	for _, pr := range pairs { // with the limit lowered, it may not
		if err := until(ctx, "what the client has sent", pr.arrived); err != nil {
			return err
		}
	}
	return st.overLimit(ctx, pairs, "memory-limit", "tcp_mem", "0 0 0", func() error {
		return until(ctx, "the clients' RSTs", func() (all bool, err error) {
			st.net.wire.locked(func() {
				if all = len(resets) == len(pairs); !all {
					return
				}
				for _, s := range resets {
					st.net.wire.pass(s)
				}
			})
			return all, nil
		})
	})
}

// until waits, for patience at most.
func until(ctx context.Context, what string, ready func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errNothing)
	defer cancel()
	if err := poll(ctx, ready); err != nil {
		return fmt.Errorf("wait for %s: %w", what, err)
	}
	return nil
}

// fill writes as much as the socket takes.
func (k *socket) fill() error {
	b := make([]byte, 1<<16)
	for {
		if _, err := unix.Write(k.fd, b); errors.Is(err, unix.EAGAIN) {
			return nil
		} else if err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
}

// arrived reports whether the server's kernel has all that the client's has sent
// so far.
func (pr *pair) arrived() (bool, error) {
	left, err := unix.IoctlGetInt(pr.client.fd, unix.SIOCOUTQ)
	unsent, err2 := unix.IoctlGetInt(pr.client.fd, unix.SIOCOUTQNSD)
	got, err3 := unix.IoctlGetInt(pr.server.fd, unix.SIOCINQ)
	if err := errors.Join(err, err2, err3); err != nil {
		return false, fmt.Errorf("read SIOCOUTQ, SIOCOUTQNSD, SIOCINQ: %w", err)
	}
	return got == left-unsent, nil
}

// overLimit has the clients close while a limit of the whole host is lowered, then
// does what there is to do, and waits until the servers have met their RSTs.
func (st *stage) overLimit(ctx context.Context, pairs []*pair, cause, limit, low string, then func() error) error {
	err := withLimit("/proc/sys/net/ipv4/"+limit, low, func() error {
		for _, pr := range pairs {
			if err := pr.client.close(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := then(); err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := pr.server.reach(ctx, tcp.Close); err != nil {
			return err
		}
		if err := pr.server.close(); err != nil {
			return err
		}
		st.ended(pr, "reset_sent", "reset_received").sends("client", cause, os.Getpid())
	}
	return st.await(ctx, census{})
}

// withLimit sets a sysctl while do runs.
func withLimit(path, value string, do func() error) (err error) {
	before, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read a limit: %w", err)
	}
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		return fmt.Errorf("set a limit: %w", err)
	}
	defer func() {
		if restored := os.WriteFile(path, []byte(strings.TrimSpace(string(before))), 0); restored != nil {
			err = errors.Join(err, fmt.Errorf("restore a limit: %w", restored))
		}
	}()
	return do()
}

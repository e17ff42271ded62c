//go:build linux

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// resetAnswerStories are about segments that meet a socket which is closed, or
// gone.
func resetAnswerStories() []Story {
	return []Story{{
		Name:     "reset-linger2",
		Doc:      "the client has TCP_LINGER2 -1 and closes: the ACK of its FIN ends it, with a RST",
		Client:   path(opened, orphaned),
		Server:   path(accepted, abortedFIN),
		Networks: everywhere,
		play:     playLinger2,
	}, {
		Name:     "reset-orphan-data",
		Doc:      "the client closes, and data of the server meets its timewait socket in FIN_WAIT2",
		Client:   path(opened, orphaned),
		Server:   path(accepted, abortedFIN),
		Networks: everywhere,
		play:     func(ctx context.Context, st *stage) error { return st.playDataAfterClose(ctx, "reset") },
	}, {
		Name:     "reset-closed-data",
		Doc:      "the same, where tcp_fin_timeout is above 60 s and FIN_WAIT2 is a full socket's",
		Client:   path(opened, orphaned),
		Server:   path(accepted, abortedFIN),
		Networks: everywhere,
		sysctls:  [][2]string{{"net.ipv4.tcp_fin_timeout", "100"}},
		play:     func(ctx context.Context, st *stage) error { return st.playDataAfterClose(ctx, "") },
	}, {
		Name:     "reset-gone-client",
		Doc:      "the client's RST is lost, and data of the server meets no socket",
		Client:   path(opened, aborted),
		Server:   path(accepted, aborted),
		Networks: []Network{Wire},
		play: func(ctx context.Context, st *stage) error {
			return st.playGone(ctx, "client", func(pr *pair) (gone, other *socket) { return pr.client, pr.server })
		},
	}, {
		Name:     "reset-gone-server",
		Doc:      "the server's RST is lost, and data of the client meets its listener",
		Client:   path(opened, aborted),
		Server:   path(accepted, aborted),
		Networks: []Network{Wire},
		play: func(ctx context.Context, st *stage) error {
			return st.playGone(ctx, "server", func(pr *pair) (gone, other *socket) { return pr.server, pr.client })
		},
	}, {
		Name:     "reset-keepalive",
		Doc:      "nothing arrives any more, and the client's keepalive (idle 1 s, 1 probe) gives the server up",
		Client:   path(opened, aborted),
		Server:   path(accepted, aborted),
		Networks: []Network{Wire},
		Takes:    2 * time.Second,
		together: true,
		play:     func(ctx context.Context, st *stage) error { return st.playCut(ctx, keepAlive, true) },
	}, {
		Name:     "reset-user-timeout",
		Doc:      "nothing arrives any more, and the client's TCP_USER_TIMEOUT of 500 ms ends its retransmits: no RST",
		Client:   path(opened, aborted),
		Server:   path(accepted, aborted),
		Networks: []Network{Wire},
		Takes:    500 * time.Millisecond,
		together: true,
		play:     func(ctx context.Context, st *stage) error { return st.playCut(ctx, userTimeout, false) },
	}}
}

func playLinger2(ctx context.Context, st *stage) error {
	if err := st.listen(); err != nil {
		return err
	}
	for range st.p.N {
		pr, err := st.open(ctx, netip.AddrPort{})
		if err != nil {
			return err
		}
		if err := pr.client.setLinger2(); err != nil {
			return err
		}
		if err := pr.client.close(); err != nil {
			return err
		}
		if err := pr.server.reach(ctx, tcp.Close); err != nil {
			return err
		}
		if err := pr.server.close(); err != nil {
			return err
		}
		st.ended(pr, "reset_sent", "reset_received").sends("client", "linger2", 0)
	}
	return st.await(ctx, census{})
}

// playDataAfterClose has the server say something to a client that has closed.
// timeWaitCause is that of the client's timewait socket, where it has one.
func (st *stage) playDataAfterClose(ctx context.Context, timeWaitCause string) error {
	if err := st.listen(); err != nil {
		return err
	}
	for range st.p.N {
		pr, err := st.open(ctx, netip.AddrPort{})
		if err != nil {
			return err
		}
		if err := pr.client.close(); err != nil {
			return err
		}
		if err := st.await(ctx, census{tcp.FinWait2: 1, tcp.CloseWait: 1}); err != nil {
			return err
		}
		if err := pr.server.say(); err != nil {
			return err
		}
		if err := pr.server.reach(ctx, tcp.Close); err != nil {
			return err
		}
		if err := pr.server.close(); err != nil {
			return err
		}
		c := st.ended(pr, "reset_sent", "reset_received")
		c.TimeWaitCause = timeWaitCause
		c.sends("client", "reset-after-close", 0)
	}
	return st.await(ctx, census{})
}

// playGone ends one end by a RST that is lost. The other one does not know.
func (st *stage) playGone(ctx context.Context, who string, order func(*pair) (gone, other *socket)) error {
	lost := map[flow]bool{}
	st.net.wire.setRule(func(w *wire, s segment) {
		if s.flags&flagRST != 0 && !lost[s.flow()] {
			lost[s.flow()] = true
			return
		}
		w.pass(s)
	})
	if err := st.listen(); err != nil {
		return err
	}
	ends := [2]string{"reset_sent", "reset_received"}
	if who == "server" {
		ends[0], ends[1] = ends[1], ends[0]
	}
	for range st.p.N {
		pr, err := st.open(ctx, netip.AddrPort{})
		if err != nil {
			return err
		}
		if err := pr.settle(ctx); err != nil {
			return err
		}
		gone, other := order(pr)
		if err := gone.abort(); err != nil {
			return err
		}
		if err := other.say(); err != nil {
			return err
		}
		if err := other.reach(ctx, tcp.Close); err != nil {
			return err
		}
		if err := other.close(); err != nil {
			return err
		}
		c := st.ended(pr, ends[0], ends[1])
		c.sends(who, "reset-linger", os.Getpid()).Lost = true
		c.sends(who, "reset-after-close", 0)
	}
	return st.await(ctx, census{})
}

func keepAlive(k *socket) error {
	for _, o := range [][3]int{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 1},
	} {
		if err := unix.SetsockoptInt(k.fd, o[0], o[1], o[2]); err != nil {
			return fmt.Errorf("ask for keepalive: %w", err)
		}
	}
	return nil
}

func userTimeout(k *socket) error {
	if err := unix.SetsockoptInt(k.fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 500); err != nil {
		return fmt.Errorf("set TCP_USER_TIMEOUT: %w", err)
	}
	return k.say()
}

// playCut opens all connections, cuts the wire, and has the clients find out.
// The servers never do, and end by a RST that nobody hears.
func (st *stage) playCut(ctx context.Context, find func(*socket) error, resets bool) error {
	pairs, err := st.openAll(ctx)
	if err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := pr.settle(ctx); err != nil {
			return err
		}
	}
	st.net.wire.setRule(func(*wire, segment) {})
	for _, pr := range pairs {
		if err := find(pr.client); err != nil {
			return err
		}
	}
	for _, pr := range pairs {
		if err := pr.client.reach(ctx, tcp.Close); err != nil {
			return err
		}
	}
	for _, pr := range pairs {
		if err := pr.client.close(); err != nil {
			return err
		}
		if err := pr.server.abort(); err != nil {
			return err
		}
		c := st.ended(pr, "timeout", "reset_sent")
		if resets {
			c.sends("client", "dead-peer", 0).Lost = true
		}
		c.sends("server", "reset-linger", os.Getpid()).Lost = true
	}
	return st.await(ctx, census{})
}

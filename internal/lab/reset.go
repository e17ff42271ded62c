//go:build linux

package lab

import (
	"context"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

var aborted = []tcp.State{tcp.Close}

func resetStories() []Story {
	return []Story{{
		Name:     "reset-linger",
		Doc:      "the client closes with SO_LINGER 0: a RST instead of a FIN",
		Client:   path(opened, aborted),
		Server:   path(accepted, aborted),
		Networks: everywhere,
		play: func(ctx context.Context, st *stage) error {
			return st.reset(ctx, func(pr *pair) error { return pr.client.abort() })
		},
	}, {
		Name:     "reset-unread",
		Doc:      "the client closes with data unread: a RST instead of a FIN",
		Client:   path(opened, aborted),
		Server:   path(accepted, aborted),
		Networks: everywhere,
		play: func(ctx context.Context, st *stage) error {
			return st.reset(ctx, func(pr *pair) error { return closeUnread(ctx, pr) })
		},
	}}
}

func closeUnread(ctx context.Context, pr *pair) error {
	if err := pr.server.say(); err != nil {
		return err
	}
	if err := pr.client.wait(ctx, unix.POLLIN); err != nil {
		return err
	}
	return pr.client.close()
}

// reset makes the connections one after the other, each of which the client
// ends by a RST.
func (st *stage) reset(ctx context.Context, end func(*pair) error) error {
	if err := st.listen(); err != nil {
		return err
	}
	for range st.p.N {
		pr, err := st.open(ctx, netip.AddrPort{})
		if err != nil {
			return err
		}
		if err := end(pr); err != nil {
			return err
		}
		if err := pr.server.hearReset(ctx); err != nil {
			return err
		}
		if err := pr.server.close(); err != nil {
			return err
		}
		st.ended(pr, "reset_sent", "reset_received")
	}
	return st.await(ctx, census{})
}

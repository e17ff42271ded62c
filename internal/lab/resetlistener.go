//go:build linux

package lab

import (
	"context"
	"os"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// resetListenerStories are about connections that nobody accepts.
func resetListenerStories() []Story {
	halfOpen := []tcp.State{tcp.Listen, tcp.SynRecv, tcp.Close}
	return []Story{{
		Name:     "reset-listener-closed",
		Doc:      "the server closes its listener before it has accepted",
		Client:   path(opened, aborted),
		Server:   path(accepted, aborted),
		Networks: everywhere,
		together: true,
		play:     playListenerClosed,
	}, {
		Name:     "reset-listener-handshake",
		Doc:      "the server closes its listener before the handshake's last ACK is there",
		Client:   path(opened, aborted),
		Server:   halfOpen,
		Networks: []Network{Wire},
		together: true,
		play:     playListenerHandshake,
	}, {
		Name:     "reset-accept-overflow",
		Doc:      "the accept queue has room for one, and tcp_abort_on_overflow is set: all others that complete the handshake get a RST",
		Client:   path(opened, aborted),
		Server:   halfOpen,
		Networks: []Network{Wire},
		together: true,
		sysctls:  [][2]string{{"net.ipv4.tcp_abort_on_overflow", "1"}, {"net.ipv4.tcp_syncookies", "0"}},
		play:     playAcceptOverflow,
	}}
}

func playListenerClosed(ctx context.Context, st *stage) error {
	if err := st.listen(); err != nil {
		return err
	}
	pairs, _, err := st.beginAll()
	if err != nil {
		return err
	}
	for _, pr := range pairs {
		if err := pr.client.finishConnect(ctx); err != nil {
			return err
		}
	}
	if err := st.await(ctx, census{tcp.Established: 2 * st.p.N}); err != nil {
		return err
	}
	if err := st.held(); err != nil {
		return err
	}
	if err := st.listener.close(); err != nil {
		return err
	}
	return st.refusedLate(ctx, pairs, "listener-closed", os.Getpid())
}

// refusedLate waits until each client, which was established, is reset by the
// server, by no end of its own.
func (st *stage) refusedLate(ctx context.Context, pairs []*pair, cause string, pid int) error {
	for _, pr := range pairs {
		if err := pr.client.hearReset(ctx); err != nil {
			return err
		}
		if err := pr.client.close(); err != nil {
			return err
		}
		st.ended(pr, "reset_received", "").sends("server", cause, pid)
	}
	return st.await(ctx, census{})
}

// holdACKs keeps back the clients' last ACKs of the handshake, until the
// returned function is called.
func (st *stage) holdACKs() (release func()) {
	var held []segment
	open := false
	st.net.wire.setRule(func(w *wire, s segment) {
		if s.from == clientSide && s.flags&flagSYN == 0 && !open {
			held = append(held, s.clone())
			return
		}
		w.pass(s)
	})
	return func() {
		w := st.net.wire
		w.locked(func() {
			open = true
			for _, s := range held {
				w.pass(s)
			}
		})
	}
}

// shake brings all clients to ESTABLISHED, and the server to no more than
// SYN_RECV.
func (st *stage) shake(ctx context.Context) (pairs []*pair, release func(), err error) {
	release = st.holdACKs()
	if err := st.listen(); err != nil {
		return nil, nil, err
	}
	if pairs, _, err = st.beginAll(); err != nil {
		return nil, nil, err
	}
	for _, pr := range pairs {
		if err := pr.client.finishConnect(ctx); err != nil {
			return nil, nil, err
		}
	}
	return pairs, release, st.await(ctx, census{tcp.Established: st.p.N, tcp.SynRecv: st.p.N})
}

func playListenerHandshake(ctx context.Context, st *stage) error {
	pairs, release, err := st.shake(ctx)
	if err != nil {
		return err
	}
	if err := st.held(); err != nil {
		return err
	}
	if err := st.listener.close(); err != nil {
		return err
	}
	release()
	return st.refusedLate(ctx, pairs, "listener-closed", os.Getpid())
}

// playAcceptOverflow lets the first client into the queue, and no other.
func playAcceptOverflow(ctx context.Context, st *stage) error {
	pairs, release, err := st.shake(ctx)
	if err != nil {
		return err
	}
	if err := st.listener.listen(0); err != nil { // there is room for one more than that
		return err
	}
	release()
	if err := st.await(ctx, census{tcp.Established: 2}); err != nil {
		return err
	}
	first := pairs[0]
	for _, pr := range pairs[1:] {
		if err := pr.client.hearReset(ctx); err != nil {
			return err
		}
		if err := pr.client.close(); err != nil {
			return err
		}
		c := st.ended(pr, "reset_received", "reset_sent")
		c.RequestCause = "overflow"
		c.sends("server", "accept-queue-overflow", 0)
	}
	if err := st.accept(ctx, []*pair{first}); err != nil {
		return err
	}
	if err := first.client.abort(); err != nil {
		return err
	}
	if err := first.server.reach(ctx, tcp.Close); err != nil {
		return err
	}
	if err := first.server.close(); err != nil {
		return err
	}
	c := st.ended(first, "reset_sent", "reset_received")
	c.ServerStates = names(path(accepted, aborted))
	c.sends("client", "reset-linger", os.Getpid())
	return st.await(ctx, census{})
}

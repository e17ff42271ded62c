//go:build linux

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

var (
	aborted    = []tcp.State{tcp.Close}
	abortedFIN = []tcp.State{tcp.CloseWait, tcp.Close} // after the peer's FIN
	orphaned   = []tcp.State{tcp.FinWait1, tcp.FinWait2, tcp.Close}
)

// resetStories has a story for each cause of a RST that a network namespace can
// make. Limits of the host are not among them: see hostStories.
func resetStories() []Story {
	return slices.Concat(resetByCloseStories(), resetAnswerStories(), resetFromOutsideStories(), resetListenerStories())
}

// A TruthReset is one RST of a connection.
type TruthReset struct {
	From  string `json:"from,omitempty"` // client or server: whose kernel sends it; absent where something between the two does
	Cause string `json:"cause"`          // in the words of conn.ResetCause
	Lost  bool   `json:"lost,omitempty"` // no full socket receives it
	PID   int    `json:"pid,omitzero"`   // the process that causes it, where one does
}

// sends notes a RST of one end. PID is ours where a call of ours causes it.
func (c *TruthConn) sends(from, cause string, pid int) *TruthReset {
	c.Resets = append(c.Resets, TruthReset{From: from, Cause: cause, PID: pid})
	return &c.Resets[len(c.Resets)-1]
}

// resetByCloseStories are about what a process does to its own connection.
func resetByCloseStories() []Story {
	simple := func(name, doc, cause string, end func(context.Context, *pair) error) Story {
		return Story{
			Name:     name,
			Doc:      doc,
			Client:   path(opened, aborted),
			Server:   path(accepted, aborted),
			Networks: everywhere,
			play: func(ctx context.Context, st *stage) error {
				return st.reset(ctx, cause, func(pr *pair) error { return end(ctx, pr) })
			},
		}
	}
	finWait := func(name, doc, cause string, end func(context.Context, *pair) error) Story {
		s := simple(name, doc, cause, end)
		s.Client, s.Server = path(opened, orphaned), path(accepted, abortedFIN)
		return s
	}
	return []Story{
		simple("reset-linger", "the client closes with SO_LINGER 0: a RST instead of a FIN", "reset-linger",
			func(_ context.Context, pr *pair) error { return pr.client.abort() }),
		simple("reset-unread", "the client closes with data unread: a RST instead of a FIN", "reset-unread-data", closeUnread),
		simple("reset-shut-rd", "the client shuts down its receiving side, data comes all the same, and the client closes", "reset-unread-data",
			closeShutRead),
		simple("reset-disconnect", "the client calls connect() with AF_UNSPEC: a RST, and the socket is as new", "reset-disconnect",
			func(_ context.Context, pr *pair) error { return pr.client.disconnect() }),
		finWait("reset-half-closed", "the client shuts down its sending side, the server answers, and the client closes with that unread", "reset-unread-data",
			closeHalfUnread),
		finWait("reset-linger2-close", "the client has TCP_LINGER2 -1 and closes in FIN_WAIT2: a RST, for it may not stay there", "linger2",
			closeLinger2Late),
	}
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

func closeShutRead(ctx context.Context, pr *pair) error {
	if err := unix.Shutdown(pr.client.fd, unix.SHUT_RD); err != nil {
		return fmt.Errorf("shutdown(SHUT_RD): %w", err)
	}
	if err := pr.server.say(); err != nil {
		return err
	}
	if err := poll(ctx, pr.server.acknowledged); err != nil {
		return err
	}
	return pr.client.close()
}

func closeHalfUnread(ctx context.Context, pr *pair) error {
	if err := halfClose(ctx, pr); err != nil {
		return err
	}
	return closeUnread(ctx, pr)
}

func closeLinger2Late(ctx context.Context, pr *pair) error {
	if err := pr.client.setLinger2(); err != nil {
		return err
	}
	if err := halfClose(ctx, pr); err != nil {
		return err
	}
	return pr.client.close()
}

// halfClose brings the client to FIN_WAIT2, with its socket.
func halfClose(ctx context.Context, pr *pair) error {
	if err := pr.client.shutdown(); err != nil {
		return err
	}
	if err := pr.server.hearEnd(ctx); err != nil {
		return err
	}
	return pr.client.reach(ctx, tcp.FinWait2)
}

// reset makes the connections one after the other, each of which the client
// ends by a RST.
func (st *stage) reset(ctx context.Context, cause string, end func(*pair) error) error {
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
		if err := pr.server.reach(ctx, tcp.Close); err != nil {
			return err
		}
		if err := pr.server.close(); err != nil {
			return err
		}
		if err := pr.client.close(); err != nil {
			return err
		}
		st.ended(pr, "reset_sent", "reset_received").sends("client", cause, os.Getpid())
	}
	return st.await(ctx, census{})
}

// setLinger2 sets TCP_LINGER2 to -1: no FIN_WAIT2 without a process.
func (k *socket) setLinger2() error {
	if err := unix.SetsockoptInt(k.fd, unix.IPPROTO_TCP, unix.TCP_LINGER2, -1); err != nil {
		return fmt.Errorf("set TCP_LINGER2: %w", err)
	}
	return nil
}

// disconnect dissolves the connection, and keeps the socket.
func (k *socket) disconnect() error {
	unspec := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(k.fd), uintptr(unsafe.Pointer(&unspec)), unsafe.Sizeof(unspec))
	if errno != 0 {
		return fmt.Errorf("connect to AF_UNSPEC: %w", errno)
	}
	return nil
}

// reach waits until the socket is in that state.
func (k *socket) reach(ctx context.Context, want tcp.State) error {
	var got tcp.State
	err := poll(ctx, func() (bool, error) {
		info, err := unix.GetsockoptTCPInfo(k.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return false, fmt.Errorf("read TCP_INFO: %w", err)
		}
		got = tcp.State(info.State)
		return got == want, nil
	})
	if err != nil {
		return fmt.Errorf("wait for %v in %v: %w", want, got, err)
	}
	return nil
}

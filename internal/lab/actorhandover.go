//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// playPasser accepts, and passes each connection to the process that serves it.
func playPasser(ctx context.Context, a *actor) error {
	listener, err := a.listen()
	if err != nil {
		return err
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a socket pair: %w", err)
	}
	far := os.NewFile(uintptr(ends[1]), "receiver")
	receiver, err := a.start(duty{Part: "receiver"}, far)
	far.Close()
	if err != nil {
		return err
	}
	a.tell(&report{Serving: os.Getpid()})
	for {
		g, err := a.accept(ctx, listener)
		if err != nil {
			return err
		}
		if g == nil {
			break
		}
		a.tell(&report{Conn: &g.truth})
		if err := pass(g, ends[0]); err != nil {
			return err
		}
	}
	return errors.Join(unix.Close(ends[0]), receiver.wait(), listener.close())
}

// pass hands the connection over and lets go of it. Only then does a second
// message allow the receiver to go on: it shall be the last to close.
func pass(g *guest, through int) error {
	if err := unix.Sendmsg(through, []byte("here"), unix.UnixRights(g.fd), nil, 0); err != nil {
		return fmt.Errorf("pass a descriptor: %w", err)
	}
	if err := g.close(); err != nil {
		return err
	}
	if _, err := unix.Write(through, []byte("it is yours")); err != nil {
		return fmt.Errorf("pass a descriptor: %w", err)
	}
	return nil
}

// playReceiver serves the connections that are passed to it.
func playReceiver(_ context.Context, a *actor) error {
	for {
		g, err := receive(3)
		if g == nil || err != nil {
			return err
		}
		if err := a.finish(g); err != nil {
			return err
		}
	}
}

// receive returns the next connection, or nil if there will be none.
func receive(from int) (*guest, error) {
	b, oob := make([]byte, 64), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := unix.Recvmsg(from, b, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("receive a descriptor: %w", err)
	}
	if n == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, fmt.Errorf("receive a descriptor: %w", err)
	}
	if len(messages) != 1 {
		return nil, fmt.Errorf("receive a descriptor: it came with %d messages", len(messages))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, fmt.Errorf("receive a descriptor: %w", err)
	}
	if len(fds) != 1 {
		return nil, fmt.Errorf("receive a descriptor: %d came", len(fds))
	}
	if _, err := unix.Read(from, b); err != nil {
		return nil, fmt.Errorf("wait until it is ours alone: %w", err)
	}
	return &guest{socket: &socket{fd: fds[0]}}, nil
}

// finish serves a connection that another process accepted.
func (a *actor) finish(g *guest) error {
	if err := g.identify(); err != nil {
		return err
	}
	if err := g.answer(); err != nil {
		return err
	}
	if err := g.leave(); err != nil {
		return err
	}
	a.tell(&report{Conn: &g.truth})
	return nil
}

// playForker accepts, and starts a process for each connection, as inetd does.
func playForker(ctx context.Context, a *actor) error {
	listener, err := a.listen()
	if err != nil {
		return err
	}
	a.tell(&report{Serving: os.Getpid()})
	var heirs sync.WaitGroup
	for {
		g, err := a.accept(ctx, listener)
		if err != nil {
			return err
		}
		if g == nil {
			break
		}
		a.tell(&report{Conn: &g.truth})
		heir, err := a.fork(g)
		if err != nil {
			return err
		}
		heirs.Go(func() {
			if err := heir.wait(); err != nil {
				a.tell(&report{Failed: err.Error()})
			}
		})
	}
	heirs.Wait()
	return listener.close()
}

// fork leaves the connection to a child, which waits until we have closed it.
func (a *actor) fork(g *guest) (*child, error) {
	conn, err := g.file()
	if err != nil {
		return nil, err
	}
	wait, closed, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	heir, err := a.start(duty{Part: "heir"}, conn, wait)
	return heir, errors.Join(err, conn.Close(), wait.Close(), g.close(), closed.Close())
}

// playHeir serves the one connection that it was born with.
func playHeir(_ context.Context, a *actor) error {
	var b [1]byte
	if _, err := unix.Read(4, b[:]); err != nil {
		return fmt.Errorf("wait until it is ours alone: %w", err)
	}
	return a.finish(&guest{socket: inherited(3)})
}

//go:build linux

package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// workers is how many processes, or threads, share a server's work.
const workers = 4

// listen opens a listener on the duty's address and tells of it.
func (a *actor) listen(options ...int) (*socket, error) {
	k, err := openSocket(a.duty.Addr.Addr().Is6())
	if err != nil {
		return nil, err
	}
	for _, option := range options {
		if err := unix.SetsockoptInt(k.fd, unix.SOL_SOCKET, option, 1); err != nil {
			return nil, fmt.Errorf("set socket option %d: %w", option, err)
		}
	}
	if err := k.bind(a.duty.Addr); err != nil {
		return nil, err
	}
	if err := k.listen(cmp.Or(a.duty.Queue, backlog)); err != nil {
		return nil, err
	}
	cookie, err := k.cookie()
	if err != nil {
		return nil, err
	}
	a.tell(&report{Listener: &TruthListener{Addr: a.duty.Addr, Cookie: cookie, PID: os.Getpid(), Backlog: a.duty.Queue}})
	return k, nil
}

// A guest is a connection that an actor has accepted.
type guest struct {
	*socket
	truth TruthConn // as far as this process knows
}

// accept waits for a connection. It returns nil at the end of the part.
func (a *actor) accept(ctx context.Context, listener *socket) (*guest, error) {
	k, err := listener.accept(ctx)
	for errors.Is(err, errNothing) { // a story may hold what it has for long
		k, err = listener.accept(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, nil
		}
		return nil, err
	}
	g := &guest{socket: k, truth: TruthConn{AccepterPID: os.Getpid(), AccepterTID: unix.Gettid(), AccepterComm: a.comm}}
	return g, g.identify()
}

// identify fills in which connection it is.
func (g *guest) identify() (err error) {
	if g.truth.Client, err = g.remote(); err != nil {
		return err
	}
	g.truth.ServerCookie, err = g.cookie()
	return err
}

// answer reads what the client has said, and answers.
func (g *guest) answer() error {
	if err := g.hear(context.Background()); err != nil {
		return err
	}
	g.truth.ReaderPID = os.Getpid()
	return g.say()
}

// leave closes the connection.
func (g *guest) leave() error {
	g.truth.ServerCloserPID = os.Getpid()
	return g.close()
}

// serve answers one client after the other, until the end of the part.
func (a *actor) serve(ctx context.Context, listener *socket) error {
	a.tell(&report{Serving: os.Getpid()})
	for {
		g, err := a.accept(ctx, listener)
		if g == nil || err != nil {
			return err
		}
		if err := g.answer(); err != nil {
			return err
		}
		if err := g.leave(); err != nil {
			return err
		}
		a.tell(&report{Conn: &g.truth})
	}
}

// prefork listens, and leaves accepting to children that play part. They share
// the duty's Count.
func (a *actor) prefork(part string) error {
	listener, err := a.listen()
	if err != nil {
		return err
	}
	f, err := listener.file()
	if err != nil {
		return err
	}
	var children []*child
	for i := range workers {
		d := duty{Part: part, Count: share(a.duty.Count, i)}
		if d.Count == 0 && a.duty.Count > 0 {
			continue
		}
		c, err := a.start(d, f)
		if err != nil {
			return err
		}
		children = append(children, c)
	}
	f.Close()
	var errs []error
	for _, c := range children {
		errs = append(errs, c.wait())
	}
	return errors.Join(append(errs, listener.close())...)
}

// share is the part of n that falls to one of the workers.
func share(n, worker int) int { return (n + worker) / workers }

// playWorker accepts from the listener that its parent opened.
func playWorker(ctx context.Context, a *actor) error {
	return a.serve(ctx, inherited(3))
}

// playThreads accepts in several threads from one listener.
func playThreads(ctx context.Context, a *actor) error {
	listener, err := a.listen()
	if err != nil {
		return err
	}
	ended := make(chan error)
	for range workers {
		go func() {
			runtime.LockOSThread()
			ended <- a.serve(ctx, listener)
		}()
	}
	var errs []error
	for range workers {
		errs = append(errs, <-ended)
	}
	return errors.Join(append(errs, listener.close())...)
}

// playReusePort is one of several that have a listener each on one address.
func playReusePort(ctx context.Context, a *actor) error {
	listener, err := a.listen(unix.SO_REUSEPORT)
	if err != nil {
		return err
	}
	return errors.Join(a.serve(ctx, listener), listener.close())
}

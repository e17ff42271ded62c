//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"
)

// listenGo listens as Go programs do: that is a socket of MPTCP where the
// kernel has it, and its clients that do not know of that get one of TCP.
func (a *actor) listenGo() (net.Listener, error) {
	l, err := net.Listen("tcp", a.duty.Addr.String())
	if err != nil {
		return nil, err // net says what was done
	}
	// The cookie at hand would be the MPTCP socket's, not the TCP listener's.
	a.tell(&report{Listener: &TruthListener{Addr: a.duty.Addr, PID: os.Getpid()}})
	a.tell(&report{Serving: os.Getpid()})
	return l, nil
}

// met says which connection c is, and that this process accepted it. Go's
// threads are interchangeable, so it is not said which one did.
func (a *actor) met(c net.Conn) (TruthConn, error) {
	truth := TruthConn{AccepterPID: os.Getpid(), AccepterComm: a.comm}
	remote, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return truth, fmt.Errorf("read the client's address: %w", err)
	}
	truth.Client = remote
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return truth, fmt.Errorf("get at the socket: %w", err)
	}
	var cookieErr error
	err = raw.Control(func(fd uintptr) {
		truth.ServerCookie, cookieErr = (&socket{fd: int(fd)}).cookie()
	})
	return truth, errors.Join(err, cookieErr)
}

// playGoroutines accepts in one goroutine and serves each client in another,
// on whatever threads Go runs them.
func playGoroutines(ctx context.Context, a *actor) error {
	l, err := a.listenGo()
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { l.Close() })
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err // net says what was done
		}
		go func() {
			if err := a.serveGo(c); err != nil {
				a.tell(&report{Failed: err.Error()})
			}
		}()
	}
}

func (a *actor) serveGo(c net.Conn) error {
	truth, err := a.met(c)
	if err != nil {
		return err
	}
	b := make([]byte, len(message))
	if _, err := io.ReadFull(c, b); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	truth.ReaderPID = os.Getpid()
	if _, err := c.Write([]byte(message)); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	truth.ServerCloserPID = os.Getpid()
	if err := c.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	a.tell(&report{Conn: &truth})
	return nil
}

// playHTTP answers every request with its PID.
func playHTTP(ctx context.Context, a *actor) error {
	l, err := a.listenGo()
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, os.Getpid())
		}),
		ConnState: func(c net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				truth, err := a.met(c)
				if err != nil {
					a.tell(&report{Failed: err.Error()})
				}
				a.tell(&report{Conn: &truth})
			case http.StateClosed:
				client, _ := netip.ParseAddrPort(c.RemoteAddr().String())
				a.tell(&report{Conn: &TruthConn{Client: client, ServerCloserPID: os.Getpid()}})
			}
		},
	}
	context.AfterFunc(ctx, func() { server.Close() })
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

//go:build linux

package lab

import (
	"context"
	"net/netip"
	"os"
)

// playGreeter writes to each client, reads from none, and closes all at the
// end of its part.
func playGreeter(ctx context.Context, a *actor) error {
	guests, err := a.gather(ctx, (*guest).say)
	if err != nil {
		return err
	}
	return a.leaveAll(guests)
}

// playExiter answers each client, and exits at the end of its part with all
// connections open.
func playExiter(ctx context.Context, a *actor) error {
	_, err := a.gather(ctx, (*guest).answer)
	return err
}

// gather accepts connections and keeps them, until the end of the part.
func (a *actor) gather(ctx context.Context, do func(*guest) error) ([]*guest, error) {
	listener, err := a.listen()
	if err != nil {
		return nil, err
	}
	a.tell(&report{Serving: os.Getpid()})
	var guests []*guest
	for {
		g, err := a.accept(ctx, listener)
		if g == nil || err != nil {
			return guests, err
		}
		if err := do(g); err != nil {
			return nil, err
		}
		g.truth.ServerFD = g.fd
		a.tell(&report{Conn: &g.truth})
		guests = append(guests, g)
	}
}

// playIdler accepts its share from the listener that its parent opened, and
// closes at the end of its part.
func playIdler(ctx context.Context, a *actor) error {
	listener := inherited(3)
	a.tell(&report{Serving: os.Getpid()})
	guests := make([]*guest, a.duty.Count)
	for i := range guests {
		g, err := a.accept(ctx, listener)
		if g == nil || err != nil {
			return err
		}
		if err := g.answer(); err != nil {
			return err
		}
		a.tell(&report{Conn: &g.truth})
		guests[i] = g
	}
	<-ctx.Done()
	return a.leaveAll(guests)
}

func (a *actor) leaveAll(guests []*guest) error {
	for _, g := range guests {
		if err := g.leave(); err != nil {
			return err
		}
		a.tell(&report{Conn: &g.truth})
	}
	return nil
}

// playOpener makes connections, speaks once on each, and closes them at the
// end of its part.
func playOpener(ctx context.Context, a *actor) error {
	sockets := make([]*socket, a.duty.Count)
	truths := make([]TruthConn, a.duty.Count)
	for i := range sockets {
		var err error
		if sockets[i], truths[i], err = a.open(0, a.duty.Addr); err != nil {
			return err
		}
		a.tell(&report{Conn: &truths[i]})
	}
	<-ctx.Done()
	for i, k := range sockets {
		if err := k.close(); err != nil {
			return err
		}
		truths[i].ClientCloserPID = os.Getpid()
		a.tell(&report{Conn: &truths[i]})
	}
	return nil
}

// open makes one connection, from a port if that is not 0, on which both ends
// have spoken.
func (a *actor) open(port uint16, to netip.AddrPort) (*socket, TruthConn, error) {
	ctx := context.Background()
	truth := TruthConn{ClientPID: os.Getpid(), ClientComm: a.comm}
	k, err := openSocket(to.Addr().Is6())
	if err != nil {
		return nil, truth, err
	}
	if port != 0 {
		if err := k.bind(netip.AddrPortFrom(anywhere(to.Addr().Is6()), port)); err != nil {
			return nil, truth, err
		}
	}
	if err := k.connect(ctx, to); err != nil {
		return nil, truth, err
	}
	if truth.Client, err = k.local(); err != nil {
		return nil, truth, err
	}
	if truth.ClientCookie, err = k.cookie(); err != nil {
		return nil, truth, err
	}
	if err := k.say(); err != nil {
		return nil, truth, err
	}
	return k, truth, k.hear(ctx)
}

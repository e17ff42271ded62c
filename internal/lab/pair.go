//go:build linux

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"time"
)

// A pair is both ends of one connection.
type pair struct {
	client, server *socket
	accepted       time.Time // after accept() returned
	index          int       // of the connection in the truth
}

// conn returns what is known of the pair's connection. The pointer is good
// until the next connection is made.
func (st *stage) conn(pr *pair) *TruthConn { return &st.truth.Conns[pr.index] }

// begin makes a client socket, starts its connect() to addr and enters the
// connection into the truth. A source other than the zero one is bound first.
// Without, connect() chooses the port, from a range in which just one is left.
//
// That is because the kernel goes through a larger one by a counter that other
// namespaces share, and which one of them may set back (table_perturb in
// net/ipv4/inet_hashtables.c). A port of one of the last connections then comes
// again, and finds the server's end of it in TIME_WAIT.
func (st *stage) begin(source, to netip.AddrPort) (*pair, error) {
	k, err := st.client(source)
	if err != nil {
		return nil, err
	}
	if err := k.startConnect(to); err != nil {
		return nil, err
	}
	return st.enter(k, to)
}

// client makes a client's socket, for begin.
func (st *stage) client(source netip.AddrPort) (*socket, error) {
	k, err := st.socket(st.net.client)
	if err != nil {
		return nil, err
	}
	if source == (netip.AddrPort{}) && !st.rangeSet {
		if err := st.setRange(firstPort+len(st.truth.Conns), 1); err != nil {
			return nil, err
		}
	}
	switch {
	case source.Port() != 0:
		err = k.bind(source)
	case source.Addr().IsValid():
		err = k.bindAddress(source.Addr())
	}
	return k, err
}

// setRange leaves connect() count ports of the client's namespace to choose from.
func (st *stage) setRange(first, count int) error {
	return st.net.client.sysctl("net.ipv4.ip_local_port_range", fmt.Sprintf("%d %d", first, first+count-1))
}

// enter puts a connection whose connect() has begun into the truth. Its states
// are the story's, its PIDs ours.
func (st *stage) enter(client *socket, to netip.AddrPort) (*pair, error) {
	c := TruthConn{
		Server:       to,
		ClientNetNS:  st.net.client.inode,
		ServerNetNS:  st.net.server.inode,
		ClientStates: names(st.story.Client),
		ServerStates: names(st.story.Server),
		ClientPID:    os.Getpid(),
	}
	if c.ServerStates != nil {
		c.ServerPID = os.Getpid()
	}
	var err error
	if c.ClientComm, err = ownComm(); err != nil {
		return nil, err
	}
	if c.Client, err = client.local(); err != nil {
		return nil, err
	}
	if c.ClientCookie, err = client.cookie(); err != nil {
		return nil, err
	}
	st.truth.Conns = append(st.truth.Conns, c)
	return &pair{client: client, index: len(st.truth.Conns) - 1}, nil
}

// connect makes a connection to the listener and accepts it.
func (st *stage) connect(ctx context.Context, source netip.AddrPort) (*pair, error) {
	pr, err := st.begin(source, st.serverAddr())
	if err != nil {
		return nil, err
	}
	if err := pr.client.finishConnect(ctx); err != nil {
		return nil, err
	}
	return pr, st.accept(ctx, []*pair{pr})
}

// accept accepts the connections of pairs, in whatever order they come.
func (st *stage) accept(ctx context.Context, pairs []*pair) error {
	waiting := make(map[netip.AddrPort]*pair, len(pairs))
	for _, pr := range pairs {
		waiting[st.conn(pr).Client] = pr
	}
	for range pairs {
		k, err := st.listener.accept(ctx)
		if err != nil {
			return err
		}
		st.sockets = append(st.sockets, k)
		from, err := k.remote()
		if err != nil {
			return err
		}
		pr := waiting[from]
		if pr == nil {
			return fmt.Errorf("accept: a stranger, %v, connected", from)
		}
		pr.server, pr.accepted = k, time.Now()
		if st.conn(pr).ServerCookie, err = k.cookie(); err != nil {
			return err
		}
	}
	return nil
}

// open makes a connection, from source if it is not zero, on which both ends
// have spoken.
func (st *stage) open(ctx context.Context, source netip.AddrPort) (*pair, error) {
	pr, err := st.connect(ctx, source)
	if err != nil {
		return nil, err
	}
	return pr, pr.exchange(ctx)
}

// openAll listens and opens N connections, all open at once.
func (st *stage) openAll(ctx context.Context) ([]*pair, error) {
	if err := st.listen(); err != nil {
		return nil, err
	}
	pairs := make([]*pair, st.p.N)
	for i := range pairs {
		var err error
		if pairs[i], err = st.open(ctx, netip.AddrPort{}); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

// ended notes how both ends ended, "" where that is not said, and returns the
// connection's truth, as conn does.
func (st *stage) ended(pr *pair, client, server string) *TruthConn {
	c := st.conn(pr)
	c.ClientEnd, c.ServerEnd = client, server
	return c
}

// exchange lets the client ask and the server answer. No byte is unread or
// unacknowledged by the client afterwards.
func (pr *pair) exchange(ctx context.Context) error {
	if err := pr.client.say(); err != nil {
		return err
	}
	if err := pr.server.hear(ctx); err != nil {
		return err
	}
	if err := pr.server.say(); err != nil {
		return err
	}
	return pr.client.hear(ctx)
}

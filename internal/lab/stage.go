//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A stage is where one run of a story plays.
type stage struct {
	story    *Story
	p        Params
	net      *network
	listener *socket
	truth    *Truth
	sockets  []*socket // all ever made; closed at the end, whatever happened
	heldOnce bool
	whenGone func(time.Time) // if set, called when the namespaces are gone
}

// run plays the story on a stage of its own.
func (s *Story) run(ctx context.Context, p Params) (t *Truth, err error) {
	net, err := newNetwork(ctx, p.Network, p.IPv6)
	if err != nil {
		return nil, err
	}
	st := &stage{story: s, p: p, net: net, truth: newTruth(s, p, net)}
	defer func() {
		err = errors.Join(err, st.clear())
		if err != nil {
			t = nil
		}
	}()
	if err := st.prepare(); err != nil {
		return nil, err
	}
	if p.Ready != nil {
		if err := p.Ready(st.truth.Inodes()); err != nil {
			return nil, fmt.Errorf("ready: %w", err)
		}
	}
	began := time.Now()
	if err := s.play(ctx, st); err != nil {
		return nil, err
	}
	if err := st.held(); err != nil {
		return nil, err
	}
	if st.truth.Elapsed == 0 {
		st.truth.Elapsed = time.Since(began)
	}
	return st.truth, st.count()
}

func newTruth(s *Story, p Params, net *network) *Truth {
	t := &Truth{Story: s.Name, Family: "ipv4", Network: p.Network}
	if p.IPv6 {
		t.Family = "ipv6"
	}
	for _, ns := range net.namespaces() {
		t.NetNS = append(t.NetNS, NetNS{Inode: ns.inode, Role: ns.role, ns: ns})
	}
	return t
}

// prepare sets what the story needs in either namespace: room for all
// handshakes at once, and the story's own sysctls.
func (st *stage) prepare() error {
	room := [][2]string{
		{"net.core.somaxconn", fmt.Sprint(backlog)},
		{"net.ipv4.tcp_max_syn_backlog", fmt.Sprint(backlog)},
	}
	for _, ns := range st.net.namespaces() {
		for _, kv := range append(room, st.story.sysctls...) {
			if err := ns.sysctl(kv[0], kv[1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// backlog holds MaxN connections that nobody has accepted yet.
const backlog = 16384

// count ends the story's listening and reads what the kernel has counted.
func (st *stage) count() error {
	if st.truth.Count == 0 {
		st.truth.Count = len(st.truth.Conns)
	}
	if st.listener != nil {
		if err := st.listener.close(); err != nil {
			return err
		}
	}
	for i := range st.truth.NetNS {
		ns := &st.truth.NetNS[i]
		var err error
		if ns.Counters, err = ns.ns.counters(); err != nil {
			return fmt.Errorf("read the kernel's counters: %w", err)
		}
	}
	return nil
}

// clear closes and deletes everything.
func (st *stage) clear() error {
	var errs []error
	for _, k := range st.sockets {
		errs = append(errs, k.close())
	}
	errs = append(errs, st.net.close())
	if st.whenGone != nil {
		st.whenGone(time.Now())
	}
	for i := range st.truth.NetNS {
		st.truth.NetNS[i].ns = nil
	}
	return errors.Join(errs...)
}

// held calls Params.Held, the first time.
func (st *stage) held() error {
	if st.heldOnce || st.p.Held == nil {
		return nil
	}
	st.heldOnce = true
	if err := st.p.Held(st.truth); err != nil {
		return fmt.Errorf("held: %w", err)
	}
	return nil
}

// socket makes a socket in ns.
func (st *stage) socket(ns *namespace) (*socket, error) {
	k, err := newSocket(ns, st.p.IPv6)
	if err != nil {
		return nil, err
	}
	st.sockets = append(st.sockets, k)
	return k, nil
}

func (st *stage) serverAddr() netip.AddrPort {
	return netip.AddrPortFrom(st.net.serverAddr, serverPort)
}

// listen opens the story's listener.
func (st *stage) listen() error {
	k, err := st.socket(st.net.server)
	if err != nil {
		return err
	}
	if err := k.bind(st.serverAddr()); err != nil {
		return err
	}
	if err := k.listen(backlog); err != nil {
		return err
	}
	st.listener = k
	cookie, err := k.cookie()
	st.truth.Listeners = append(st.truth.Listeners, TruthListener{
		Addr: st.serverAddr(), Cookie: cookie, NetNS: st.net.server.inode,
		States: names([]tcp.State{tcp.Close, tcp.Listen, tcp.Close}),
	})
	return err
}

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
func (st *stage) begin(source, to netip.AddrPort) (*pair, error) {
	k, err := st.socket(st.net.client)
	if err != nil {
		return nil, err
	}
	switch {
	case source.Port() != 0:
		err = k.bind(source)
	case source.Addr().IsValid():
		err = k.bindAddress(source.Addr())
	}
	if err != nil {
		return nil, err
	}
	if err := k.startConnect(to); err != nil {
		return nil, err
	}
	return st.enter(k, to)
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

// await waits until the namespaces together have the sockets of want, listeners
// apart, and no others.
func (st *stage) await(ctx context.Context, want census) error {
	var got census
	err := poll(ctx, func() (bool, error) {
		got = census{}
		for _, ns := range st.net.namespaces() {
			c, err := ns.census()
			if err != nil {
				return false, err
			}
			for s := range c {
				got[s] += c[s]
			}
		}
		return got == want, nil
	})
	if err != nil {
		return fmt.Errorf("wait for %v, while there is %v: %w", want, got, err)
	}
	return nil
}

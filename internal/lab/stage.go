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
	story     *Story
	p         Params
	net       *network
	listener  *socket
	truth     *Truth
	sockets   []*socket  // all ever made; closed at the end, whatever happened
	processes []*process // likewise
	book      book       // what they report
	heldOnce  bool
	rangeSet  bool            // the play sets net.ipv4.ip_local_port_range itself
	began     time.Time       // of the traffic
	whenGone  func(time.Time) // if set, called when the namespaces are gone
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
	st.began = time.Now()
	if err := s.play(ctx, st); err != nil {
		return nil, st.blame(err)
	}
	if err := st.held(); err != nil {
		return nil, err
	}
	if st.truth.Elapsed == 0 {
		st.truth.Elapsed = time.Since(st.began)
	}
	if err := st.count(ctx); err != nil {
		return nil, err
	}
	if p.Over != nil {
		if err := p.Over(st.truth); err != nil {
			return nil, fmt.Errorf("over: %w", err)
		}
	}
	return st.truth, nil
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
func (st *stage) count(ctx context.Context) error {
	if st.truth.Count == 0 {
		st.truth.Count = len(st.truth.Conns)
	}
	if st.listener != nil {
		if err := st.listener.close(); err != nil {
			return err
		}
	}
	if err := st.dismiss(ctx); err != nil {
		return err
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
	for _, p := range st.processes {
		errs = append(errs, p.kill(context.Background()))
	}
	for _, k := range st.sockets {
		if k.fd >= 0 {
			errs = append(errs, k.abort())
		}
	}
	st.drain()
	errs = append(errs, st.net.close())
	if st.whenGone != nil {
		st.whenGone(time.Now())
	}
	st.truth.forgetAged(time.Since(st.began))
	for i := range st.truth.NetNS {
		st.truth.NetNS[i].ns = nil
	}
	return errors.Join(errs...)
}

// drain lets sockets that a story left in the middle of something come to
// their end while their packets still get through. One that does not keeps its
// namespace alive, and closing that tells.
func (st *stage) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if st.net.wire != nil {
		st.net.wire.open()
	}
	_ = poll(ctx, func() (bool, error) {
		got, err := st.census()
		got[tcp.TimeWait], got[tcp.FinWait2] = 0, 0 // those end with the namespace
		return got == census{}, err
	})
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

// stay calls Params.Held, the first time, and then stays in the story's state for
// Params.Hold.
func (st *stage) stay(ctx context.Context) error {
	if err := st.held(); err != nil {
		return err
	}
	return sleep(ctx, st.p.Hold)
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

// listen opens the story's listener, whose queues have room for everybody.
func (st *stage) listen() error {
	if err := st.listenWith(backlog); err != nil {
		return err
	}
	st.truth.Listeners[len(st.truth.Listeners)-1].Backlog = 0 // of no importance
	return nil
}

// listenWith opens the story's listener.
func (st *stage) listenWith(backlog int) error {
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
		States: listening, PID: os.Getpid(), Backlog: backlog,
	})
	return err
}

// census counts the sockets of all namespaces.
func (st *stage) census() (census, error) {
	var all census
	for _, ns := range st.net.namespaces() {
		c, err := ns.census()
		if err != nil {
			return census{}, err
		}
		for s := range c {
			all[s] += c[s]
		}
	}
	return all, nil
}

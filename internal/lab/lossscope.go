//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Stories of loss that connections have in common: what the clients of one or
// more processes say is lost on the way to peers that lie in one network, or in
// as many as there are peers, behind one device or two. The server's namespace
// stands for the world: a tracer that shall not know why looks at the clients'
// alone.

// A crowdPlan says what the connections of such a story have in common.
type crowdPlan struct {
	processes int
	scattered bool // each peer is in a network of its own
	devices   int
}

func scopeStories() []Story {
	story := func(name, doc string, plan crowdPlan) Story {
		return Story{
			Name:     name,
			Doc:      doc + ", for hold, again and again",
			Rule:     "retransmit-storm",
			Client:   path(opened, closesFirst),
			Server:   path(accepted, closesSecond),
			Networks: []Network{Veth},
			Hold:     time.Second,
			MaxHold:  time.Minute,
			Most:     200,
			together: true,
			cast:     true,
			sysctls:  [][2]string{unhurt},
			play:     plan.run,
		}
	}
	return []Story{
		story("storm-network", "what one process says to peers of one network is lost", crowdPlan{processes: 1, devices: 1}),
		story("storm-process", "what one process says to peers in many networks is lost", crowdPlan{processes: 1, scattered: true, devices: 1}),
		story("storm-device", "what three processes say to peers in many networks is lost behind one device",
			crowdPlan{processes: 3, scattered: true, devices: 1}),
		story("storm-host", "what three processes say to peers in many networks is lost behind two devices",
			crowdPlan{processes: 3, scattered: true, devices: 2}),
	}
}

// peer returns the address of the i-th peer.
func (p *crowdPlan) peer(i int, v6 bool) netip.AddrPort {
	network, host := 1, i+1
	if p.scattered {
		network, host = i/p.devices+1, 1
	}
	if p.devices == 2 && i%2 == 1 {
		network += 128 // the second device's
	}
	addr := netip.AddrFrom4([4]byte{198, 19, byte(network), byte(host)})
	if v6 {
		addr = netip.AddrFrom16([16]byte{0xfd, 0x74, 0x6c, 0x61, 0x63, 7: byte(network), 15: byte(host)})
	}
	return netip.AddrPortFrom(addr, serverPort)
}

const secondDevice = "lab1" // in either namespace

// spread gives the server all peers' addresses, and the client the ways there.
func (p *crowdPlan) spread(ctx context.Context, st *stage) error {
	v6 := st.p.IPv6
	all := netip.MustParsePrefix("198.19.0.0/16")
	lower, upper := netip.MustParsePrefix("198.19.0.0/17"), netip.MustParsePrefix("198.19.128.0/17")
	near, far := netip.MustParseAddr("198.18.0.5"), netip.MustParseAddr("198.18.0.6")
	if v6 {
		all = netip.MustParsePrefix("fd74:6c61:6300::/48")
		lower, upper = netip.MustParsePrefix("fd74:6c61:6300::/57"), netip.MustParsePrefix("fd74:6c61:6300:80::/57")
		near, far = netip.MustParseAddr("fd74:6c61:6200::5"), netip.MustParseAddr("fd74:6c61:6200::6")
	}
	err := st.net.server.do(func() error { return routeTo(all, "lo", netip.Addr{}) })
	if err != nil {
		return err
	}
	if p.devices == 1 {
		return st.net.client.do(func() error { return routeTo(all, deviceName, st.net.serverAddr) })
	}
	if err := st.net.joinAgain(ctx, near, far); err != nil {
		return err
	}
	return st.net.client.do(func() error {
		return errors.Join(routeTo(lower, deviceName, st.net.serverAddr), routeTo(upper, secondDevice, far))
	})
}

// joinAgain joins the namespaces by a second veth pair.
func (n *network) joinAgain(ctx context.Context, near, far netip.Addr) error {
	err := n.client.do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = secondDevice
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: secondDevice, PeerNamespace: netlink.NsFd(n.server.fd)})
	})
	if err != nil {
		return fmt.Errorf("make a second veth pair: %w", err)
	}
	for ns, addr := range map[*namespace]netip.Addr{n.client: near, n.server: far} {
		if err := ns.do(func() error { return setUp(secondDevice, addr) }); err != nil {
			return fmt.Errorf("configure %s of %s: %w", secondDevice, ns.role, err)
		}
	}
	return poll(ctx, func() (ok bool, err error) {
		err = n.client.do(func() error {
			link, err := netlink.LinkByName(secondDevice)
			if err != nil {
				return err
			}
			ok = link.Attrs().RawFlags&unix.IFF_RUNNING != 0 && routeType(near) == unix.RTN_LOCAL && routeType(far) == unix.RTN_UNICAST
			return nil
		})
		return ok, err
	})
}

// routeTo adds a route in the calling thread's namespace: by a device, or where
// there is no next hop to the namespace itself.
func routeTo(to netip.Prefix, device string, hop netip.Addr) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find %s: %w", device, err)
	}
	route := &netlink.Route{
		LinkIndex: link.Attrs().Index,
		Dst:       &net.IPNet{IP: to.Addr().AsSlice(), Mask: net.CIDRMask(to.Bits(), to.Addr().BitLen())},
	}
	if hop.IsValid() {
		route.Gw = hop.AsSlice()
	} else {
		route.Type, route.Table, route.Scope = unix.RTN_LOCAL, unix.RT_TABLE_LOCAL, netlink.SCOPE_HOST
	}
	if err := netlink.RouteAdd(route); err != nil {
		return fmt.Errorf("add a route to %v by %s: %w", to, device, err)
	}
	return nil
}

func (p *crowdPlan) run(ctx context.Context, st *stage) error {
	if err := p.spread(ctx, st); err != nil {
		return err
	}
	if err := st.listenAnywhere(); err != nil {
		return err
	}
	criers, err := p.start(st)
	if err != nil {
		return err
	}
	servers := make([]*socket, st.p.N)
	for i := range servers {
		if servers[i], err = st.admit(ctx); err != nil {
			return err
		}
	}
	err = st.told(ctx, "all connections are open", func(b *book) bool { return len(b.conns) == st.p.N })
	if err != nil {
		return err
	}
	if err := st.adopt(); err != nil {
		return err
	}
	for began := time.Now(); time.Since(began) < st.p.Hold; {
		if err := st.interrupt(ctx); err != nil {
			return err
		}
	}
	for _, c := range criers {
		if err := c.end(ctx); err != nil {
			return err
		}
	}
	for _, k := range servers {
		if err := errors.Join(k.hearOut(ctx), k.close()); err != nil {
			return err
		}
	}
	return st.rest(ctx, st.p.N)
}

// start has the processes connect, each to its share of the peers.
func (p *crowdPlan) start(st *stage) ([]*process, error) {
	peers := make([][]netip.AddrPort, p.processes)
	for i := range st.p.N {
		// Neighbours share a process: each has as many peers behind either device.
		of := i / 2 % p.processes
		peers[of] = append(peers[of], p.peer(i, st.p.IPv6))
	}
	criers := make([]*process, p.processes)
	for i := range criers {
		var err error
		if criers[i], err = st.act(st.net.client, duty{Part: "crier", Peers: peers[i], Port: firstPort + i*st.p.N}); err != nil {
			return nil, err
		}
	}
	return criers, nil
}

// anywhere stands for all addresses.
func anywhere(v6 bool) netip.Addr {
	if v6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// listenAnywhere opens a listener on all addresses.
func (st *stage) listenAnywhere() error {
	k, err := st.socket(st.net.server)
	if err != nil {
		return err
	}
	if err := errors.Join(k.bind(netip.AddrPortFrom(anywhere(st.p.IPv6), serverPort)), k.listen(backlog)); err != nil {
		return err
	}
	st.listener = k
	return nil
}

// admit accepts a connection, whose client speaks first, and answers.
func (st *stage) admit(ctx context.Context) (*socket, error) {
	k, err := st.listener.accept(ctx)
	if err != nil {
		return nil, err
	}
	st.sockets = append(st.sockets, k)
	return k, errors.Join(k.hear(ctx), k.say())
}

// interrupt lets nothing through to the server for a while, and then everything
// for as long.
func (st *stage) interrupt(ctx context.Context) error {
	f, err := newPacketFilter(st.net.server)
	if err != nil {
		return err
	}
	f.drop()
	if err := f.apply(); err != nil {
		return err
	}
	return errors.Join(sleep(ctx, outage), f.remove(), sleep(ctx, outage))
}

// hearOut reads until the end.
func (k *socket) hearOut(ctx context.Context) error {
	b := make([]byte, 4096)
	for {
		if n, err := k.readInto(ctx, b); n == 0 || err != nil {
			return err
		}
	}
}

// cryEvery is how often a crier says something.
const cryEvery = 20 * time.Millisecond

// playCrier opens a connection to each of its peers, says something on all of
// them again and again until the end of its part, and closes them.
func playCrier(ctx context.Context, a *actor) error {
	var sockets []*socket
	for i, peer := range a.duty.Peers {
		// To peers that differ connect() would give one port twice, and the
		// client's address is what tells connections apart in the book.
		k, truth, err := a.open(uint16(a.duty.Port+i), peer)
		if err != nil {
			return err
		}
		truth.Server = peer
		a.tell(&report{Conn: &truth})
		sockets = append(sockets, k)
	}
	for ctx.Err() == nil {
		for _, k := range sockets {
			if err := k.say(); err != nil {
				return err
			}
		}
		_ = sleep(ctx, cryEvery)
	}
	for _, k := range sockets {
		truth := TruthConn{ClientCloserPID: os.Getpid()}
		var err error
		if truth.Client, err = k.local(); err != nil {
			return err
		}
		if err := k.close(); err != nil {
			return err
		}
		a.tell(&report{Conn: &truth})
	}
	return nil
}

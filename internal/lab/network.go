//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// serverPort is where every story's server listens.
const serverPort = 8080

// A network is a client's and a server's namespace (the same one for Loopback)
// and the way between them.
type network struct {
	client, server         *namespace
	clientAddr, serverAddr netip.Addr
	wire                   *wire // of Wire only
}

// newNetwork makes the namespaces and joins them.
func newNetwork(ctx context.Context, kind Network, v6 bool) (n *network, err error) {
	n = &network{}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
			n = nil
		}
	}()
	if kind == Loopback {
		n.clientAddr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if v6 {
			n.clientAddr = netip.IPv6Loopback()
		}
		n.serverAddr = n.clientAddr
		n.client, err = newNamespace("both")
		n.server = n.client
		return n, err
	}
	// 198.18.0.0/15 is for tests of networks (RFC 2544), fd00::/8 for
	// anyone's own (RFC 4193): neither meets an address of the host.
	n.clientAddr, n.serverAddr = netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("198.18.0.2")
	if v6 {
		n.clientAddr, n.serverAddr = netip.MustParseAddr("fd74:6c61:6200::1"), netip.MustParseAddr("fd74:6c61:6200::2")
	}
	if n.client, err = newNamespace("client"); err != nil {
		return n, err
	}
	if n.server, err = newNamespace("server"); err != nil {
		return n, err
	}
	if kind == Veth {
		return n, n.joinByVeth(ctx)
	}
	return n, n.joinByWire(ctx)
}

// namespaces lists the network's namespaces, each once.
func (n *network) namespaces() []*namespace {
	switch {
	case n.client == nil:
		return nil
	case n.server == nil || n.server == n.client:
		return []*namespace{n.client}
	}
	return []*namespace{n.client, n.server}
}

const deviceName = "lab0" // in either namespace

func (n *network) joinByVeth(ctx context.Context) error {
	err := n.client.do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = deviceName
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: deviceName, PeerNamespace: netlink.NsFd(n.server.fd)})
	})
	if err != nil {
		return fmt.Errorf("make veth pair: %w", err)
	}
	return n.configure(ctx)
}

func (n *network) joinByWire(ctx context.Context) (err error) {
	n.wire = &wire{seen: map[content]bool{}}
	for side, ns := range n.namespaces() {
		err := ns.do(func() (err error) {
			n.wire.ends[side], err = openTUN(deviceName)
			if err != nil {
				return err
			}
			return setQueue(deviceName)
		})
		if err != nil {
			return fmt.Errorf("make the %s end of the wire: %w", ns.role, err)
		}
	}
	n.wire.start()
	return n.configure(ctx)
}

// configure gives either end its address, sets it up, and waits until packets
// can go both ways.
func (n *network) configure(ctx context.Context) error {
	for _, ns := range n.namespaces() {
		addr := n.clientAddr
		if ns == n.server {
			addr = n.serverAddr
		}
		// A link-local address would be of no use and make noise.
		if err := ns.sysctl("?net.ipv6.conf."+deviceName+".addr_gen_mode", "1"); err != nil {
			return err
		}
		if err := ns.do(func() error { return setUp(deviceName, addr) }); err != nil {
			return fmt.Errorf("configure %s of %s: %w", deviceName, ns.role, err)
		}
	}
	for _, ns := range n.namespaces() {
		err := poll(ctx, func() (bool, error) { return n.ready(ns) })
		if err != nil {
			return fmt.Errorf("wait for %s of %s: %w", deviceName, ns.role, err)
		}
	}
	return nil
}

// ready reports whether ns takes packets for its own address and has a route to
// the other one. A kernel worker adds IPv6's routes some time after the device
// came up, and what arrives before that is dropped.
func (n *network) ready(ns *namespace) (ok bool, err error) {
	own, other := n.clientAddr, n.serverAddr
	if ns == n.server {
		own, other = other, own
	}
	err = ns.do(func() error {
		link, err := netlink.LinkByName(deviceName)
		if err != nil {
			return err
		}
		ok = link.Attrs().RawFlags&unix.IFF_RUNNING != 0 &&
			routeType(own) == unix.RTN_LOCAL && routeType(other) == unix.RTN_UNICAST
		return nil
	})
	return ok, err
}

// routeType returns how the calling thread's namespace would route to addr, or
// RTN_UNREACHABLE.
func routeType(addr netip.Addr) int {
	routes, err := netlink.RouteGet(addr.AsSlice())
	if err != nil || len(routes) == 0 {
		return unix.RTN_UNREACHABLE
	}
	return routes[0].Type
}

// queueLength is how many packets may wait for the wire. Newer kernels refuse
// some longer ones (ERANGE), and none is needed: the relay empties the queue all
// the time.
const queueLength = 10_000

// setQueue makes room for what the connections of a run have under way at a
// time: what does not fit is lost.
func setQueue(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find it: %w", err)
	}
	if err := netlink.LinkSetTxQLen(link, queueLength); err != nil {
		return fmt.Errorf("set its queue's length: %w", err)
	}
	return nil
}

func setUp(name string, addr netip.Addr) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find it: %w", err)
	}
	bits := 30
	if addr.Is6() {
		bits = 126
	}
	ipnet := &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(bits, addr.BitLen())}
	a := &netlink.Addr{IPNet: ipnet}
	if addr.Is6() {
		a.Flags = unix.IFA_F_NODAD // else the address is of no use for a second
	}
	if err := netlink.AddrAdd(link, a); err != nil {
		return fmt.Errorf("add %v: %w", ipnet, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set it up: %w", err)
	}
	return nil
}

// routeToSelf makes sourceAddr's prefix local to the calling thread's namespace,
// so that any address in it can be bound and reached (ip -6 route add local).
func routeToSelf() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	route := &netlink.Route{
		LinkIndex: lo.Attrs().Index,
		Dst:       &net.IPNet{IP: sourceAddr(0, true).AsSlice(), Mask: net.CIDRMask(96, 128)},
		Type:      unix.RTN_LOCAL,
		Table:     unix.RT_TABLE_LOCAL,
	}
	if err := netlink.RouteAdd(route); err != nil {
		return fmt.Errorf("add local route to %v: %w", route.Dst, err)
	}
	return nil
}

// sourceAddr returns one of 64,000 addresses that a loopback client can bind:
// those of 127/8 need nothing, those of IPv6 need routeToSelf and
// net.ipv6.ip_nonlocal_bind.
func sourceAddr(i int, v6 bool) netip.Addr {
	hi, lo := byte(i/250), byte(i%250+1)
	if v6 {
		return netip.AddrFrom16([16]byte{0xfd, 0x74, 0x6c, 0x61, 0x62, 0x01, 14: hi, 15: lo})
	}
	return netip.AddrFrom4([4]byte{127, 1, hi, lo})
}

// close takes everything down and waits until the kernel has.
func (n *network) close() error {
	// Not the caller's context: that one may be why we are closing.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var errs []error
	if n.wire != nil {
		errs = append(errs, n.wire.close())
	}
	for _, ns := range n.namespaces() {
		errs = append(errs, ns.close(ctx))
	}
	return errors.Join(errs...)
}

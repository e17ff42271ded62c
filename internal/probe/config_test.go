//go:build linux

package probe

import (
	"net/netip"
	"testing"

	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/filter"
)

func TestMapped(t *testing.T) {
	for _, test := range []struct{ prefix, addr, mask string }{
		{"10.1.2.3/8", "::ffff:10.0.0.0", "ffff:ffff:ffff:ffff:ffff:ffff:ff00:0"},
		{"10.1.2.3/32", "::ffff:10.1.2.3", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"172.16.0.0/12", "::ffff:172.16.0.0", "ffff:ffff:ffff:ffff:ffff:ffff:fff0:0"},
		{"0.0.0.0/0", "::ffff:0.0.0.0", "ffff:ffff:ffff:ffff:ffff:ffff::"},
		{"2001:db8::1/33", "2001:db8::", "ffff:ffff:8000::"},
		{"::/0", "::", "::"},
	} {
		addr, mask := mapped(netip.MustParsePrefix(test.prefix))
		if want := netip.MustParseAddr(test.addr).As16(); addr != want {
			t.Errorf("%s: address %v, want %v", test.prefix, addr, want)
		}
		if want := netip.MustParseAddr(test.mask).As16(); mask != want {
			t.Errorf("%s: mask %v, want %v", test.prefix, mask, want)
		}
	}
}

// A list that the kernel side has no room for must select everything there.
func TestSetFilter_ListsThatDoNotFitAreLeftToUserSpace(t *testing.T) {
	var c bpf.TcptraceTtConfig
	f := filter.Filter{
		PIDs:  make([]uint32, len(c.Pids)+1),
		Ports: make([]uint16, len(c.Ports)),
		Nets:  make([]netip.Prefix, len(c.Nets)+1),
		IPv4:  true, IPv6: true,
	}
	setFilter(&c, &f)
	if c.NumPids != 0 || c.NumNets != 0 {
		t.Errorf("too long: got %d pids and %d networks, want none", c.NumPids, c.NumNets)
	}
	if int(c.NumPorts) != len(c.Ports) {
		t.Errorf("got %d ports, want %d", c.NumPorts, len(c.Ports))
	}
	if c.Family != 0 {
		t.Errorf("-4 and -6 together: got family %d, want both", c.Family)
	}
}

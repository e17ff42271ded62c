//go:build linux

package probe

import (
	"net/netip"
	"slices"

	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/filter"
)

// config is what the programs are told before they are loaded, but for the rings:
// see sharing.
func (k *kernel) config(set *hookSet, opts *Options) bpf.TcptraceTtConfig {
	c := bpf.TcptraceTtConfig{
		HasCookieHelper:  flag(k.cookieHelper),
		HasRetransmitErr: flag(k.retransmitErr),
		HasResetReason:   flag(k.resetReason),
		MarksUnowned:     flag(k.socketStorage && !opts.NoOwners),
		FrameBase:        k.symbols.address(frameBase),
		AcceptArgs:       k.acceptArgs,
		HasDropReason:    flag(k.dropReason),
		HasDropReceiver:  flag(k.freedReceiver),
		SeesCalls:        flag(opts.Errors),
		AcceptByCall:     flag(k.acceptByCall(opts)),
		SavesStacks:      flag(opts.Stacks),
		Untyped:          flag(k.untyped != nil),
		HasCast:          flag(k.cast),
		DropReasons:      toldDrops(k.dropReasons),
	}
	c.ReasonListenOverflow = number(k.dropReasons, "TCP_LISTEN_OVERFLOW")
	c.ReasonNoSocket = number(k.dropReasons, "NO_SOCKET")
	c.ReasonFlags = number(k.dropReasons, "TCP_FLAGS")
	c.ReasonCsum = number(k.dropReasons, "TCP_CSUM")
	set.configure(k, &c)
	setFilter(&c, &opts.Filter)
	return c
}

// number finds a name's; 0 if this kernel does not have it.
func number(names []string, name string) uint16 { return uint16(max(slices.Index(names, name), 0)) }

func flag(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

var _ = bpf.TcptraceTtConfig{}.Pids == [maxPIDs]uint32{} // as long as that

// setFilter passes on the parts of the filter that the kernel side can apply.
// A list that is too long for it is left to user space.
func setFilter(c *bpf.TcptraceTtConfig, f *filter.Filter) {
	c.NumPorts = fill(c.Ports[:], f.Ports)
	c.NumLocalPorts = fill(c.LocalPorts[:], f.LocalPorts)
	c.NumRemotePorts = fill(c.RemotePorts[:], f.RemotePorts)
	c.NumPids = fill(c.Pids[:], f.PIDs)
	c.NumNetns = fill(c.Netns[:], f.NetNS)
	if f.IPv4 && !f.IPv6 {
		c.Family = 4
	} else if f.IPv6 && !f.IPv4 {
		c.Family = 6
	}
	if len(f.Nets) > len(c.Nets) {
		return
	}
	c.NumNets = uint8(len(f.Nets))
	for i, prefix := range f.Nets {
		c.Nets[i].Addr, c.Nets[i].Mask = mapped(prefix)
	}
}

// fill copies the list into the array, if it fits, and returns its length.
func fill[T any](array, list []T) uint8 {
	if len(list) > len(array) {
		return 0
	}
	return uint8(copy(array, list))
}

// mapped returns a prefix as the kernel side compares it: 16 bytes, IPv4 in
// its mapped form.
func mapped(prefix netip.Prefix) (addr, mask [16]byte) {
	addr = prefix.Masked().Addr().As16()
	bits := prefix.Bits()
	if prefix.Addr().Is4() {
		bits += 96
	}
	for i := range mask {
		switch n := min(max(bits-8*i, 0), 8); n {
		case 8:
			mask[i] = 0xff
		default:
			mask[i] = ^byte(0xff >> n)
		}
	}
	return addr, mask
}

//go:build linux

package lab

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A filter drops packets that reach a namespace, before its TCP sees them, if
// not told otherwise: what is dropped as it leaves is an error for the sender.
type packetFilter struct {
	conn  *nftables.Conn
	table *nftables.Table
	chain *nftables.Chain
}

// newPacketFilter makes a filter that drops nothing.
func newPacketFilter(ns *namespace) (*packetFilter, error) {
	return newPacketFilterAt(ns, nftables.ChainHookPrerouting)
}

func newPacketFilterAt(ns *namespace, hook *nftables.ChainHook) (*packetFilter, error) {
	conn, err := nftables.New(nftables.WithNetNSFd(ns.fd))
	if err != nil {
		return nil, fmt.Errorf("open nftables of %s: %w", ns.role, err)
	}
	f := &packetFilter{conn: conn}
	f.table = conn.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "lab"})
	f.chain = conn.AddChain(&nftables.Chain{
		Name: "lossy", Table: f.table, Type: nftables.ChainTypeFilter,
		Hooknum: hook, Priority: nftables.ChainPriorityRaw,
	})
	return f, nil
}

var tcpPackets = []expr.Any{
	&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
	&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
}

// drop adds a rule for packets of TCP that match.
func (f *packetFilter) drop(match ...expr.Any) {
	rule := append(append([]expr.Any{}, tcpPackets...), match...)
	rule = append(rule, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop})
	f.conn.AddRule(&nftables.Rule{Table: f.table, Chain: f.chain, Exprs: rule})
}

// oneIn matches one of n packets, by chance.
func oneIn(n uint32) []expr.Any {
	return []expr.Any{
		&expr.Numgen{Register: 1, Modulus: n, Type: unix.NFT_NG_RANDOM},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(0)},
	}
}

// toPort matches packets to a port.
func toPort(port uint16) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
	}
}

// apply puts the rules in force.
func (f *packetFilter) apply() error {
	if err := f.conn.Flush(); err != nil {
		return fmt.Errorf("set nftables rules: %w", err)
	}
	return nil
}

// remove lets everything pass again.
func (f *packetFilter) remove() error {
	f.conn.DelTable(f.table)
	if err := f.conn.Flush(); err != nil {
		return fmt.Errorf("delete nftables rules: %w", err)
	}
	return nil
}

package conn

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"net/netip"
)

// A pairing finds connections by their addresses: the other end of one, where
// that is on this host too, and the one that a segment was for which met no
// socket. Both ends of a connection have the same hash. It is a table like the
// one of identities, but an entry need not be the only one of its key.
type pairing struct {
	slots []pairSlot // a power of two of them
	shift uint8
	count int
	seed  uint64
}

type pairSlot struct {
	hash uint32
	seat uint32 // 0: the slot is free
}

func newPairing() pairing {
	return pairing{
		slots: make([]pairSlot, minSlots),
		shift: uint8(32 - bits.TrailingZeros(minSlots)),
		seed:  maphash.Bytes(maphash.MakeSeed(), nil),
	}
}

// hash is the same for (a, b) and (b, a).
func (p *pairing) hash(a, b netip.AddrPort) uint32 {
	h := p.hashEnd(a) + p.hashEnd(b)
	return uint32((h ^ h>>29) * 0x9e3779b97f4a7c15 >> 32)
}

func (p *pairing) hashEnd(a netip.AddrPort) uint64 {
	ip := a.Addr().As16()
	hi, lo := binary.BigEndian.Uint64(ip[:8]), binary.BigEndian.Uint64(ip[8:])
	x, y := bits.Mul64(lo^p.seed, 0xd6e8feb86659fd93^(hi+uint64(a.Port())<<32))
	return x ^ y
}

// add enters the seat of a connection, both of whose addresses are known.
func (p *pairing) add(hash, seat uint32) {
	if (p.count+1)*4 > len(p.slots)*3 {
		p.grow()
	}
	p.put(pairSlot{hash, seat})
}

func (p *pairing) put(s pairSlot) {
	mask := len(p.slots) - 1
	i := int(s.hash >> p.shift)
	for p.slots[i].seat != 0 {
		i = (i + 1) & mask
	}
	p.slots[i] = s
	p.count++
}

// remove takes a seat out. What comes behind it moves up.
func (p *pairing) remove(hash, seat uint32) {
	mask := len(p.slots) - 1
	i := int(hash >> p.shift)
	for ; p.slots[i].seat != seat; i = (i + 1) & mask {
		if p.slots[i].seat == 0 {
			return
		}
	}
	p.count--
	for j := i; ; {
		j = (j + 1) & mask
		s := p.slots[j]
		if s.seat == 0 {
			break
		}
		if home := int(s.hash >> p.shift); (j-home)&mask >= (j-i)&mask {
			p.slots[i] = s
			i = j
		}
	}
	p.slots[i] = pairSlot{}
}

func (p *pairing) grow() {
	old := p.slots
	p.slots = make([]pairSlot, 2*len(old))
	p.shift--
	p.count = 0
	for _, s := range old {
		if s.seat != 0 {
			p.put(s)
		}
	}
}

// own returns the connection from local to remote in the namespace: a live one,
// else the one remembered that ended last, else nil.
func (x *index) own(netns uint32, local, remote netip.AddrPort) *record {
	return x.best(local, remote, func(r *record) bool { return r.ID.NetNS == netns })
}

// peer returns the other end of the connection from local to remote, as own
// does. A connection whose ends are in two namespaces is not found by loopback
// addresses, which each of them has.
func (x *index) peer(netns uint32, local, remote netip.AddrPort) *record {
	if r := x.own(netns, remote, local); r != nil && local != remote || local.Addr().IsLoopback() {
		return r
	}
	return x.best(remote, local, func(r *record) bool { return r.ID.NetNS != netns })
}

func (x *index) best(local, remote netip.AddrPort, fits func(*record) bool) (best *record) {
	if !whole(local) || !whole(remote) {
		return nil
	}
	p := &x.pairs
	hash, mask := p.hash(local, remote), len(p.slots)-1
	for i := int(hash >> p.shift); p.slots[i].seat != 0; i = (i + 1) & mask {
		s := &p.slots[i]
		if s.hash != hash {
			continue
		}
		r := x.record(s.seat)
		if r.Local != local || r.Remote != remote || !fits(r) {
			continue
		}
		if best == nil || best.dead && (!r.dead || r.Closed > best.Closed) {
			best = r
		}
	}
	return best
}

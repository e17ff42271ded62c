package conn

import (
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
	hash   uint64
	record *record // nil: the slot is free
}

func newPairing() pairing {
	return pairing{
		slots: make([]pairSlot, minSlots),
		shift: uint8(64 - bits.TrailingZeros(minSlots)),
		seed:  maphash.Bytes(maphash.MakeSeed(), nil),
	}
}

// hash is the same for (a, b) and (b, a).
func (p *pairing) hash(a, b netip.AddrPort) uint64 {
	h := p.hashEnd(a) + p.hashEnd(b)
	return (h ^ h>>29) * 0x9e3779b97f4a7c15
}

func (p *pairing) hashEnd(a netip.AddrPort) uint64 {
	ip := a.Addr().As16()
	var hi, lo uint64
	for i := range 8 {
		hi, lo = hi<<8|uint64(ip[i]), lo<<8|uint64(ip[8+i])
	}
	x, y := bits.Mul64(lo^p.seed, 0xd6e8feb86659fd93^(hi+uint64(a.Port())<<32))
	return x ^ y
}

// add enters r, both of whose addresses are known.
func (p *pairing) add(r *record) {
	if (p.count+1)*4 > len(p.slots)*3 {
		p.grow()
	}
	p.put(pairSlot{p.hash(r.Local, r.Remote), r})
}

func (p *pairing) put(s pairSlot) {
	mask := len(p.slots) - 1
	i := int(s.hash >> p.shift)
	for p.slots[i].record != nil {
		i = (i + 1) & mask
	}
	p.slots[i] = s
	p.count++
}

// remove takes r out. What comes behind it moves up.
func (p *pairing) remove(r *record) {
	mask := len(p.slots) - 1
	i := int(p.hash(r.Local, r.Remote) >> p.shift)
	for ; p.slots[i].record != r; i = (i + 1) & mask {
		if p.slots[i].record == nil {
			return
		}
	}
	p.count--
	for j := i; ; {
		j = (j + 1) & mask
		s := p.slots[j]
		if s.record == nil {
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
		if s.record != nil {
			p.put(s)
		}
	}
}

// own returns the connection from local to remote in the namespace: a live one,
// else the one remembered that ended last, else nil.
func (p *pairing) own(netns uint32, local, remote netip.AddrPort) *record {
	return p.best(local, remote, func(r *record) bool { return r.ID.NetNS == netns })
}

// peer returns the other end of the connection from local to remote, as own
// does. A connection whose ends are in two namespaces is not found by loopback
// addresses, which each of them has.
func (p *pairing) peer(netns uint32, local, remote netip.AddrPort) *record {
	if r := p.own(netns, remote, local); r != nil && local != remote || local.Addr().IsLoopback() {
		return r
	}
	return p.best(remote, local, func(r *record) bool { return r.ID.NetNS != netns })
}

func (p *pairing) best(local, remote netip.AddrPort, fits func(*record) bool) (best *record) {
	if !whole(local) || !whole(remote) {
		return nil
	}
	hash, mask := p.hash(local, remote), len(p.slots)-1
	for i := int(hash >> p.shift); p.slots[i].record != nil; i = (i + 1) & mask {
		s := &p.slots[i]
		if s.hash != hash || s.record.Local != local || s.record.Remote != remote || !fits(s.record) {
			continue
		}
		if r := s.record; best == nil || best.dead && (!r.dead || r.Closed > best.Closed) {
			best = r
		}
	}
	return best
}

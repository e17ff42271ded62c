package conn

import (
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/event"
)

// An index finds records, keeps them in order, and remembers the last ones
// that ended.
type index struct {
	byID    table             // live ones with a cookie, and remembered ones
	byTuple map[tuple]*record // live ones without
	pairs   pairing           // live and remembered ones, whose addresses are known
	live    int

	// The live ones are listed in the order of their begin, and above crowded
	// in that of their last change of state: see touch.
	oldest, newest *record
	crowded        int

	ended []*record // a ring of the remembered
	next  int       // the one of them to forget next

	reuse bool
	free  *record  // linked by newer
	slab  []record // not yet used
}

// slabRecords is the number of records that are allocated at once, where
// they are reused and so need not be freed one by one.
const slabRecords = 64

// A tuple is a connection's addresses in its network namespace, IPv4 ones as
// IPv6-mapped. It identifies only what has no cookie yet.
type tuple struct {
	local, remote         [16]byte
	netns                 uint32
	localPort, remotePort uint16
}

func makeTuple(netns uint32, local, remote netip.AddrPort) tuple {
	k := tuple{netns: netns, localPort: local.Port(), remotePort: remote.Port()}
	if local.IsValid() {
		k.local = local.Addr().As16()
	}
	if remote.IsValid() {
		k.remote = remote.Addr().As16()
	}
	return k
}

func (r *record) tuple() tuple { return makeTuple(r.ID.NetNS, r.Local, r.Remote) }

func (x *index) init(options *Options) {
	x.byID = newTable()
	x.byTuple = make(map[tuple]*record)
	x.pairs = newPairing()
	x.ended = make([]*record, options.Remember)
	x.reuse = options.Reuse
	x.crowded = options.MaxConnections / 8 * 7
}

// find returns the record of ev's connection, which may have ended, or nil.
func (x *index) find(ev *event.Event) *record {
	var r *record
	if ev.ID.Cookie != 0 {
		r = x.byID.get(ev.ID)
	}
	if len(x.byTuple) == 0 || r != nil && !r.dead {
		return r
	}
	if ev.ID.Cookie == 0 || tellsCookie(ev) {
		if request := x.byTuple[makeTuple(ev.ID.NetNS, ev.Local, ev.Remote)]; request != nil {
			return request
		}
	}
	return r
}

// insert adds a live record.
func (x *index) insert(r *record) {
	if r.ID.Cookie != 0 {
		x.byID.put(r)
	} else {
		r.byTuple = true
		x.byTuple[r.tuple()] = r
	}
	x.live++
	x.link(r)
}

// rename gives r, which had no cookie, its identity.
func (x *index) rename(r *record, id event.ID) {
	delete(x.byTuple, r.tuple())
	r.byTuple = false
	r.ID = id
	x.byID.put(r)
}

// touch makes r the last to have changed its state, where that may soon
// matter. It costs two cache misses; so the order by last change is kept only
// while the bound is near, and those that have not changed since come first.
func (x *index) touch(r *record) {
	if x.live > x.crowded && x.newest != r {
		x.unlink(r)
		x.link(r)
	}
}

func (x *index) link(r *record) {
	r.older, r.newer = x.newest, nil
	if x.newest != nil {
		x.newest.newer = r
	} else {
		x.oldest = r
	}
	x.newest = r
}

func (x *index) unlink(r *record) {
	if r.older != nil {
		r.older.newer = r.newer
	} else {
		x.oldest = r.newer
	}
	if r.newer != nil {
		r.newer.older = r.older
	} else {
		x.newest = r.older
	}
	r.older, r.newer = nil, nil
}

// retire takes r out of the live ones. It can be found afterwards, as long as
// there is room, if remember is set and it has a cookie.
func (x *index) retire(r *record, remember bool) {
	r.dead = true
	x.live--
	x.unlink(r)
	switch {
	case r.byTuple:
		delete(x.byTuple, r.tuple())
		x.unpair(r)
		x.release(r)
	case remember:
		x.forget(x.ended[x.next])
		x.ended[x.next] = r
		x.next = (x.next + 1) % len(x.ended)
	default:
		x.forget(r)
	}
}

// forget drops a record that has ended, if there is one.
func (x *index) forget(r *record) {
	if r == nil {
		return
	}
	x.byID.remove(r)
	x.unpair(r)
	x.release(r)
}

// pair makes r known by its addresses, once both are known.
func (x *index) pair(r *record) {
	if !r.paired && whole(r.Local) && whole(r.Remote) {
		r.paired = true
		x.pairs.add(r)
	}
}

func (x *index) unpair(r *record) {
	if r.paired {
		r.paired = false
		x.pairs.remove(r)
	}
}

// forgetAll drops all records that have ended.
func (x *index) forgetAll() {
	for i, r := range x.ended {
		x.forget(r)
		x.ended[i] = nil
	}
}

// allocate returns an empty record.
func (x *index) allocate() *record {
	switch r := x.free; {
	case r != nil:
		x.free = r.newer
		*r = record{}
		return r
	case !x.reuse:
		return new(record)
	}
	if len(x.slab) == 0 {
		x.slab = make([]record, slabRecords)
	}
	r := &x.slab[0]
	x.slab = x.slab[1:]
	return r
}

// release takes a record back that nobody refers to any more.
func (x *index) release(r *record) {
	if !x.reuse {
		return
	}
	r.newer = x.free
	x.free = r
}

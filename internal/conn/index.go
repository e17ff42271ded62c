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

	seating

	// The live ones are listed in the order of their begin, and above crowded
	// in that of their last change of state: see touch.
	oldest, newest uint32
	crowded        int

	ended []*record // a ring of the remembered
	next  int       // the one of them to forget next
}

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
	x.awakeLimit = awakeLimit
	x.crowded = options.MaxConnections / 8 * 7
}

// find returns the record of ev's connection, which may have ended, or nil.
func (x *index) find(ev *event.Event) *record {
	var r *record
	if ev.ID.Cookie != 0 {
		r = x.byCookie(ev.ID)
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

// byCookie returns the record of an ID that has a cookie, or nil.
func (x *index) byCookie(id event.ID) *record {
	last := x.recent.of(id)
	if r := *last; r != nil && r.ID == id {
		r.fresh = true
		return r
	}
	seat := x.byID.get(id)
	if seat == 0 {
		return nil
	}
	r := x.record(seat)
	*last = r
	return r
}

// insert adds a live record.
func (x *index) insert(r *record) {
	if r.ID.Cookie != 0 {
		x.enter(r)
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
	x.enter(r)
}

// enter makes r known by its identity, in place of any other.
func (x *index) enter(r *record) {
	x.byID.put(r.ID, r.Number)
	*x.recent.of(r.ID) = r
}

// touch makes r the last to have changed its state, where that may soon
// matter. It costs two cache misses; so the order by last change is kept only
// while the bound is near, and those that have not changed since come first.
func (x *index) touch(r *record) {
	if x.live > x.crowded && x.newest != r.Number {
		x.unlink(r)
		x.link(r)
	}
}

func (x *index) link(r *record) {
	s := x.seats.at(r.Number)
	s.older, s.newer = x.newest, 0
	if x.newest != 0 {
		x.seats.at(x.newest).newer = r.Number
	} else {
		x.oldest = r.Number
	}
	x.newest = r.Number
}

func (x *index) unlink(r *record) {
	s := x.seats.at(r.Number)
	if s.older != 0 {
		x.seats.at(s.older).newer = s.newer
	} else {
		x.oldest = s.newer
	}
	if s.newer != 0 {
		x.seats.at(s.newer).older = s.older
	} else {
		x.newest = s.older
	}
	s.older, s.newer = 0, 0
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
	x.byID.remove(r.ID, r.Number)
	x.unpair(r)
	x.release(r)
}

// pair makes r known by its addresses, once both are known.
func (x *index) pair(r *record) {
	if !r.paired && whole(r.Local) && whole(r.Remote) {
		r.paired = true
		x.pairs.add(x.pairs.hash(r.Local, r.Remote), r.Number)
	}
}

func (x *index) unpair(r *record) {
	if r.paired {
		r.paired = false
		x.pairs.remove(x.pairs.hash(r.Local, r.Remote), r.Number)
	}
}

// forgetAll drops all records that have ended.
func (x *index) forgetAll() {
	for i, r := range x.ended {
		x.forget(r)
		x.ended[i] = nil
	}
}

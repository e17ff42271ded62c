package diagnose

import (
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/drop"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// maxStays bounds the connections in one state that a rule follows at once.
const maxStays = 1 << 18

// A stay is one connection's in the state that a rule watches.
type stay struct {
	id            event.ID
	owner         *process
	role          conn.Role
	local, remote netip.AddrPort
	begin         event.Time
	orphan        bool   // no process holds it any more
	retransmits   uint32 // since it began
	ranOut        bool   // it ended because the kernel, or in SYN_SENT the process, gave up
	entry         *entry[held]

	older, newer *stay // in a list
}

// A list holds stays, the oldest first.
type list struct{ head, tail *stay }

func (l *list) push(s *stay) {
	s.older, s.newer = l.tail, nil
	if l.tail != nil {
		l.tail.newer = s
	} else {
		l.head = s
	}
	l.tail = s
}

func (l *list) remove(s *stay) {
	if s.older != nil {
		s.older.newer = s.newer
	} else {
		l.head = s.newer
	}
	if s.newer != nil {
		s.newer.older = s.older
	} else {
		l.tail = s.older
	}
	s.older, s.newer = nil, nil
}

// held is what a rule knows of the connections that are in its state for too
// long, or were.
type held struct {
	stays       list
	now, peak   int
	longest     time.Duration // of those that are over
	retransmits uint64
	ranOut      uint64
	clients     uint64     // of a client's side
	drops       drop.Tally // of their packets
	remotes     tally[netip.Addr]
	locals      tally[netip.AddrPort] // a server's address, or a client's destination
}

// age returns how long the longest stay is, or was.
func (h *held) age(now event.Time) time.Duration {
	longest := h.longest
	if h.stays.head != nil {
		longest = max(longest, now.Sub(h.stays.head.begin))
	}
	return longest
}

// stays follows the connections in one state, and hands over those that are in
// it for too long.
type stays struct {
	e       *Engine
	state   tcp.State
	after   time.Duration
	all     map[event.ID]*stay
	pending list // not for too long yet
	free    *stay

	// due says which cause a stay that has become too long belongs to; nil if
	// to none.
	due func(*stay) *entry[held]

	// moved, if set, reports whether a stay is not its cause's any more.
	moved func(*stay) bool

	// ended is the cause of the last stay that was over; whoever wants it sets
	// it to nil before.
	ended *entry[held]
}

func newStays(e *Engine, state tcp.State, after time.Duration, due func(*stay) *entry[held]) stays {
	return stays{e: e, state: state, after: after, all: map[event.ID]*stay{}, due: due}
}

func (x *stays) wants() wants {
	return wants{kindsOf(conn.Retransmitted, conn.Ended), statesOf(x.state)}
}

func (x *stays) change(c *conn.Change) {
	if c.Conn == nil || c.Conn.Listener() {
		return
	}
	switch c.Kind {
	case conn.Retransmitted:
		if len(x.all) > 0 {
			x.retransmitted(c)
		}
	case conn.Transition, conn.Corrected, conn.Found, conn.Owned, conn.Orphaned:
		if c.Conn.State == x.state && c.Conn.Closed == 0 {
			x.enter(c)
		} else if c.Old == x.state {
			x.leave(c)
		}
	case conn.Ended:
		x.leave(c)
	}
}

func (x *stays) enter(c *conn.Change) {
	s := x.all[c.Conn.ID]
	if s == nil {
		if len(x.all) >= maxStays {
			return
		}
		s = x.free
		if s == nil {
			s = new(stay)
		} else {
			x.free = s.newer
		}
		*s = stay{id: c.Conn.ID, begin: c.Conn.Since}
		x.all[s.id] = s
		x.pending.push(s)
	}
	s.owner, s.role = x.e.ownerOf(c.Conn), c.Conn.Role
	s.local, s.remote = c.Conn.Local, c.Conn.Remote
	s.orphan = s.orphan || c.Kind == conn.Orphaned
	if s.entry != nil && x.moved != nil && x.moved(s) {
		x.part(s, c.Time)
		s.entry = nil
		x.pending.push(s)
	}
}

func (x *stays) retransmitted(c *conn.Change) {
	if s := x.all[c.Conn.ID]; s != nil {
		n := max(c.Segments, 1)
		s.retransmits += n
		if s.entry != nil {
			s.entry.data.retransmits += uint64(n)
		}
	}
}

func (x *stays) leave(c *conn.Change) {
	s := x.all[c.Conn.ID]
	if s == nil {
		return
	}
	delete(x.all, s.id)
	length := c.Time.Sub(s.begin)
	switch c.Conn.End {
	case conn.EndTimeout, conn.EndFinWait2Timeout, conn.EndUnreachable:
		s.ranOut = x.state != tcp.CloseWait // that is not of its doing
	case conn.EndAbandoned:
		s.ranOut = length >= silentGivenUp
	}
	if s.entry == nil {
		x.pending.remove(s)
		if length >= x.after || s.ranOut {
			x.count(s)
		}
	}
	if s.entry != nil {
		x.part(s, c.Time)
		if s.ranOut {
			s.entry.data.ranOut++
		}
		x.ended = s.entry
	}
	s.newer = x.free
	x.free = s
}

// part takes s out of those that its cause has now.
func (x *stays) part(s *stay, now event.Time) {
	h := &s.entry.data
	h.stays.remove(s)
	h.now--
	h.longest = max(h.longest, now.Sub(s.begin))
	x.e.touch(&s.entry.cause)
}

// count makes s one of its cause's.
func (x *stays) count(s *stay) {
	if s.entry = x.due(s); s.entry == nil {
		return
	}
	if s.entry.holds == nil && x.state != tcp.SynRecv {
		s.entry.holds, s.entry.sockets = x.holds(s.entry), s.entry.data.sockets
	}
	h := &s.entry.data
	x.e.drops.follow(s.id, &h.drops)
	h.stays.push(s)
	h.now++
	h.peak = max(h.peak, h.now)
	h.retransmits += uint64(s.retransmits)
	h.remotes.add(s.remote.Addr().Unmap())
	if s.role == conn.Client {
		h.clients++
		h.locals.add(s.remote)
	} else {
		h.locals.add(s.local)
	}
	s.entry.note(x.e, s.id, s.begin)
}

// tick finds the stays that have become too long.
func (x *stays) tick() {
	for s := x.pending.head; s != nil && x.e.now.Sub(s.begin) >= x.after; s = x.pending.head {
		x.pending.remove(s)
		x.count(s)
		if s.entry == nil { // of no cause, now or later
			s.older, s.newer = nil, nil
			delete(x.all, s.id)
		}
	}
}

// evidence adds the figures that all rules about a state have in common.
func (h *held) evidence(f *Finding, age time.Duration) {
	v := (*figures)(&f.Evidence)
	v.count("now", int64(h.now))
	v.count("peak", int64(h.peak))
	v.length("oldest", age)
	if peer, _ := topAddr(&h.remotes); peer.IsValid() {
		v.word("peer", peer.String())
	}
	if at, _ := topEndpoint(&h.locals); at.IsValid() {
		v.word("endpoint", endpoint(at))
	}
}

// A stuck is a rule about connections that stay in one state, of one process.
type stuck struct {
	stays stays
	book  book[held]
}

// newStuck makes one. word, if not nil, tells causes of one process apart.
func newStuck(
	e *Engine, r *Rule, state tcp.State, after time.Duration, word func(*stay) string,
	describe func(*Engine, *entry[held], *Finding),
) *stuck {
	w := &stuck{book: newBook(e, r, func(x *entry[held], f *Finding) { describe(e, x, f) })}
	w.stays = newStays(e, state, after, func(s *stay) *entry[held] {
		k := key{who: s.owner}
		if s.owner == nil {
			k.netns = s.id.NetNS
		}
		if word != nil {
			k.word = word(s)
		}
		x := w.book.entry(k, s.owner)
		if x != nil && x.peer == nil {
			x.peer = e.peers.process(s.id.NetNS, s.local, s.remote)
		}
		return x
	})
	return w
}

// moves has w follow stays from one word's cause to another's.
func (w *stuck) moves(word func(*stay) string) *stuck {
	w.stays.moved = func(s *stay) bool { return word(s) != s.entry.key.word }
	return w
}

func (w *stuck) wants() wants { return w.stays.wants() }

func (w *stuck) change(c *conn.Change) { w.stays.change(c) }

func (w *stuck) tick() {
	w.stays.tick()
	w.book.touchAll()
}

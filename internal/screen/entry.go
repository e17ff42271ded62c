package screen

import (
	"hash/maphash"
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// An entry is what the Model keeps of one open socket, so that lists of them can
// be put in order, and what it has been counted in be taken off again. The whole
// life the tracker knows.
type entry struct {
	id            event.ID
	local, remote netip.AddrPort
	since, opened event.Time
	process       *group
	peer          *group // nil for a listening socket
	listener      *group // of a server's connection, or its own; nil where not known
	resent        uint32 // segments
	place         int32  // in entries
	number        uint32 // Connection.Number

	state       tcp.State
	role        conn.Role
	used        bool
	sinceKnown  bool
	openedKnown bool
	listening   bool
}

// entries keeps entry by entry side by side, since lists are made by going
// through all of them. Places that are free serve again.
type entries struct {
	chunks   [][]entry
	byNumber []int32 // 1 + the place of the entry of Connection.Number; 0: there is none
	free     []int32
	len      int
	seed     maphash.Seed
}

const chunkEntries = 1024

func newEntries() entries { return entries{seed: maphash.MakeSeed()} }

// pseudoBit marks what stands for the cookie of a socket that has none yet.
const pseudoBit = 1 << 63

// key returns the ID that c is kept with: its own, or one that its addresses
// stand for.
func (x *entries) key(c *conn.Connection) event.ID {
	if c.ID.Cookie != 0 {
		return c.ID
	}
	type tuple struct{ local, remote netip.AddrPort }
	return event.ID{
		NetNS:  c.ID.NetNS,
		Cookie: maphash.Comparable(x.seed, tuple{c.Local, c.Remote}) | pseudoBit,
	}
}

func (x *entries) at(place int32) *entry { return &x.chunks[place/chunkEntries][place%chunkEntries] }

// find returns the entry that has c's number, or nil: c's own, or one left of a
// connection of which no end was told.
func (x *entries) find(c *conn.Connection) *entry {
	if int(c.Number) >= len(x.byNumber) || x.byNumber[c.Number] == 0 {
		return nil
	}
	return x.at(x.byNumber[c.Number] - 1)
}

// is reports whether e is the entry of c, which may have got its cookie since.
func (e *entry) is(c *conn.Connection) bool {
	if e.id == c.ID {
		return true
	}
	if e.id.Cookie&pseudoBit == 0 || e.id.NetNS != c.ID.NetNS || e.local != c.Local || e.remote != c.Remote {
		return false
	}
	if c.ID.Cookie != 0 {
		e.id = c.ID
	}
	return true
}

// add makes an entry for c.
func (x *entries) add(c *conn.Connection) *entry {
	place := int32(x.len)
	if n := len(x.free); n > 0 {
		place = x.free[n-1]
		x.free = x.free[:n-1]
	} else if int(place) == len(x.chunks)*chunkEntries {
		x.chunks = append(x.chunks, make([]entry, chunkEntries))
	}
	for int(c.Number) >= len(x.byNumber) {
		x.byNumber = append(x.byNumber, 0)
	}
	x.byNumber[c.Number] = place + 1
	e := x.at(place)
	*e = entry{id: x.key(c), used: true, place: place, number: c.Number}
	x.len++
	return e
}

func (x *entries) remove(e *entry) {
	x.byNumber[e.number] = 0
	x.free = append(x.free, e.place)
	x.len--
	*e = entry{}
}

// all yields each entry, in no order that means anything.
func (x *entries) all(yield func(*entry) bool) {
	for _, chunk := range x.chunks {
		for i := range chunk {
			if chunk[i].used && !yield(&chunk[i]) {
				return
			}
		}
	}
}

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
	chunks [][]entry
	byID   map[event.ID]*entry
	free   []int32
	len    int
	seed   maphash.Seed
	pseudo int // of these, those without a cookie
}

const chunkEntries = 1024

func newEntries() entries {
	return entries{byID: map[event.ID]*entry{}, seed: maphash.MakeSeed()}
}

// pseudoBit marks what stands for the cookie of a socket that has none yet.
const pseudoBit = 1 << 63

// key returns the ID that c is kept by: its own, or one that its addresses
// stand for.
func (x *entries) key(c *conn.Connection) event.ID {
	if c.ID.Cookie != 0 {
		return c.ID
	}
	return x.pseudoKey(c)
}

func (x *entries) pseudoKey(c *conn.Connection) event.ID {
	type tuple struct{ local, remote netip.AddrPort }
	return event.ID{
		NetNS:  c.ID.NetNS,
		Cookie: maphash.Comparable(x.seed, tuple{c.Local, c.Remote}) | pseudoBit,
	}
}

// find returns the entry of c, or nil. A socket that has got its cookie since
// keeps its entry.
func (x *entries) find(c *conn.Connection) *entry {
	e := x.byID[x.key(c)]
	if e != nil || x.pseudo == 0 || c.ID.Cookie == 0 || c.Role == conn.Client {
		return e
	}
	if e = x.byID[x.pseudoKey(c)]; e != nil {
		delete(x.byID, e.id)
		x.pseudo--
		e.id = c.ID
		x.byID[e.id] = e
	}
	return e
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
	e := &x.chunks[place/chunkEntries][place%chunkEntries]
	*e = entry{id: x.key(c), used: true, place: place}
	if e.id.Cookie&pseudoBit != 0 && c.ID.Cookie == 0 {
		x.pseudo++
	}
	x.byID[e.id] = e
	x.len++
	return e
}

func (x *entries) remove(e *entry) {
	if e.id.Cookie&pseudoBit != 0 {
		x.pseudo--
	}
	delete(x.byID, e.id)
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

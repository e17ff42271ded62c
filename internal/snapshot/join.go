package snapshot

import (
	"math/bits"
	"slices"

	"github.com/tcptrace/tcptrace/internal/bpf"
)

// maxWaiting bounds the descriptors that are kept because their socket is not
// known yet.
const maxWaiting = 1 << 18

// A table finds a socket by its cookie: open addressing, at most half full.
type table struct {
	slots []slot
	shift uint
}

type slot struct {
	cookie uint64
	at     int32
}

func newTable(sockets int) table {
	log := max(4, bits.Len(uint(sockets))+1)
	return table{slots: make([]slot, 1<<log), shift: uint(64 - log)}
}

// find returns the slot of the cookie, or the free one where it belongs.
func (t *table) find(cookie uint64) *slot {
	mask := len(t.slots) - 1
	for i := int(cookie * 0x9E3779B97F4A7C15 >> t.shift); ; i++ {
		s := &t.slots[i&mask]
		if s.cookie == cookie || s.cookie == 0 {
			return s
		}
	}
}

// A chain is the holders found for one socket, latest first.
type chain struct {
	last  int32 // of joiner.found, plus one
	count uint32
	more  uint32
}

type found struct {
	holder Holder
	before int32 // as chain.last
}

// A joiner brings sockets and their holders together. Sockets come first,
// whole namespaces at a time, so that what a process opens meanwhile is not
// listed instead of being listed without its process.
type joiner struct {
	snap   *Snapshot
	held   bool // Options.Held
	table  table
	chains []chain // of snap.Sockets[:len(chains)]
	found  []found
	read   map[uint32]bool // the namespaces listed

	unread  []bpf.SnapshotTtHolder            // of namespaces not listed (yet)
	byInode map[uint64][]bpf.SnapshotTtHolder // of sockets without a cookie
	waiting int
}

// index makes the sockets added since the last call ready to be found. Where
// one was read twice, the later reading stands.
func (j *joiner) index() {
	from := len(j.chains)
	sockets := j.snap.Sockets
	j.table = newTable(len(sockets) - from)
	kept := from
	for i := from; i < len(sockets); i++ {
		cookie := sockets[i].ID.Cookie
		at := kept
		if cookie != 0 {
			s := j.table.find(cookie)
			if s.cookie == 0 {
				*s = slot{cookie, int32(at)}
			} else {
				at = int(s.at)
			}
		}
		if at != i {
			sockets[at] = sockets[i]
		}
		if at == kept {
			kept++
		}
	}
	j.snap.Sockets = sockets[:kept]
	j.chains = append(j.chains, make([]chain, kept-from)...)
	j.found = slices.Grow(j.found, kept-from) // most have one holder
}

// add takes one descriptor.
func (j *joiner) add(raw *bpf.SnapshotTtHolder) {
	if raw.Cookie != 0 {
		if s := j.table.find(raw.Cookie); s.cookie != 0 {
			j.hold(int(s.at), raw)
			return
		}
		if j.read[raw.Netns] {
			return // made since, or never bound or connected
		}
	}
	if !j.held && !j.read[raw.Netns] {
		return
	}
	if j.waiting == maxWaiting {
		j.snap.LostHolders++
		return
	}
	j.waiting++
	if raw.Cookie != 0 {
		j.unread = append(j.unread, *raw)
		return
	}
	if j.byInode == nil {
		j.byInode = map[uint64][]bpf.SnapshotTtHolder{}
	}
	j.byInode[raw.Inode] = append(j.byInode[raw.Inode], *raw)
}

// hold records a holder of the socket, once: the threads of a process whose
// leader has ended show its table again each.
func (j *joiner) hold(at int, raw *bpf.SnapshotTtHolder) {
	c := &j.chains[at]
	for i := c.last; i != 0; i = j.found[i-1].before {
		if h := &j.found[i-1].holder; h.PID == raw.Pid && h.FD == raw.Fd {
			return
		}
	}
	if c.count == MaxHolders {
		c.more++
		return
	}
	j.found = append(j.found, found{
		holder: Holder{PID: raw.Pid, FD: raw.Fd, UID: raw.Uid, Comm: raw.Comm},
		before: c.last,
	})
	c.last = int32(len(j.found))
	c.count++
}

// late joins the descriptors whose namespaces have been listed since, after
// another index.
func (j *joiner) late() {
	unread := j.unread
	j.unread = nil
	j.waiting -= len(unread)
	for i := range unread {
		if j.read[unread[i].Netns] {
			j.add(&unread[i])
		}
	}
}

// finish gives each socket its holders.
func (j *joiner) finish() {
	if len(j.byInode) > 0 {
		for at := range j.snap.Sockets {
			for i := range j.byInode[j.snap.Sockets[at].Inode] {
				j.hold(at, &j.byInode[j.snap.Sockets[at].Inode][i])
			}
		}
	}
	holders := make([]Holder, len(j.found))
	used := 0
	for at := range j.snap.Sockets {
		c := &j.chains[at]
		if c.count == 0 {
			continue
		}
		s := &j.snap.Sockets[at]
		end := used + int(c.count)
		s.Holders = holders[used:end:end]
		s.MoreHolders = c.more
		used = end
		for i := c.last; i != 0; i = j.found[i-1].before {
			end--
			holders[end] = j.found[i-1].holder
		}
	}
}

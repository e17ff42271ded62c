package census

import (
	"cmp"
	"slices"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A Group is whose sockets a Row counts.
type Group uint8

const (
	Process  Group = iota // Row.Owner's
	Orphans               // their process has closed them
	NoOwner               // no process is known: TIME_WAIT belongs to none
	Everyone              // the total
)

// String returns the word that records use.
func (g Group) String() string { return [...]string{"process", "orphan", "none", "all"}[g] }

// A Row counts the sockets of one process, or group, by state. A socket that
// several processes hold counts once, for its Owner.
type Row struct {
	Group  Group
	Owner  event.Task
	States [tcp.NumStates]uint64
	Total  uint64
}

// Summarize counts the sockets: a row for each process, those with the most
// sockets first, then the orphans and what belongs to nobody; total is the sum.
func (c *Census) Summarize() (rows []Row, total Row) {
	total.Group = Everyone
	type key struct {
		group Group
		pid   uint32
	}
	at := map[key]int{}
	for i := range c.Sockets {
		s := &c.Sockets[i]
		k := key{s.group(), s.Owner.PID}
		n, ok := at[k]
		if !ok {
			n = len(rows)
			at[k] = n
			rows = append(rows, Row{Group: k.group, Owner: s.Owner})
		}
		rows[n].add(s)
		total.add(s)
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), -cmp.Compare(a.Total, b.Total), cmp.Compare(a.Owner.PID, b.Owner.PID))
	})
	return rows, total
}

func (r *Row) add(s *Socket) {
	r.Total++
	if s.State < tcp.NumStates {
		r.States[s.State]++
	}
}

func (s *Socket) group() Group {
	switch {
	case s.Owner.Known():
		return Process
	case s.Orphan:
		return Orphans
	}
	return NoOwner
}

package census

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// ranks are the places of the states in tcp.States.
var ranks = func() (ranks [tcp.NumStates]uint64) {
	for i, s := range tcp.States() {
		ranks[s] = uint64(i)
	}
	return ranks
}()

// Sorted returns the sockets with those of one process together: processes by
// name and number, sockets that belong to none last, and then by state, ports,
// addresses.
func (c *Census) Sorted() []*Socket {
	type key struct {
		order uint64
		at    int32
	}
	process := c.order()
	keys := make([]key, len(c.Sockets))
	for i := range c.Sockets {
		s := &c.Sockets[i]
		rank := uint64(0)
		if s.State < tcp.NumStates {
			rank = ranks[s.State]
		}
		ports := uint64(s.Local.Port())<<16 | uint64(s.Remote.Port())
		keys[i] = key{uint64(process[s.Owner.PID])<<40 | rank<<32 | ports, int32(i)}
	}
	slices.SortFunc(keys, func(a, b key) int {
		if a.order != b.order {
			return cmp.Compare(a.order, b.order)
		}
		s, t := &c.Sockets[a.at], &c.Sockets[b.at]
		return cmp.Or(
			s.Remote.Addr().Compare(t.Remote.Addr()), s.Local.Addr().Compare(t.Local.Addr()),
			cmp.Compare(s.ID.NetNS, t.ID.NetNS), cmp.Compare(s.ID.Cookie, t.ID.Cookie),
		)
	})
	sorted := make([]*Socket, len(keys))
	for i, k := range keys {
		sorted[i] = &c.Sockets[k.at]
	}
	return sorted
}

// order numbers the processes by name and then by pid; 0, no process, is last.
func (c *Census) order() map[uint32]int {
	comms := map[uint32]*[16]byte{}
	last := uint32(0)
	for i := range c.Sockets {
		if t := &c.Sockets[i].Owner; t.Known() && t.PID != last {
			last = t.PID
			comms[t.PID] = &t.Comm
		}
	}
	pids := make([]uint32, 0, len(comms))
	for pid := range comms {
		pids = append(pids, pid)
	}
	slices.SortFunc(pids, func(a, b uint32) int {
		return cmp.Or(bytes.Compare(comms[a][:], comms[b][:]), cmp.Compare(a, b))
	})
	order := make(map[uint32]int, len(pids)+1)
	for i, pid := range pids {
		order[pid] = i
	}
	order[0] = len(pids)
	return order
}

package screen

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// comparers put rows in order. Each is turned round by Query.Reverse; equal ones
// follow an order that stays the same.

func sortFindings(q *Query, all []diagnose.Finding) []diagnose.Finding {
	if q.order() == "latest" {
		slices.SortStableFunc(all, func(a, b diagnose.Finding) int { return -cmp.Compare(a.Last, b.Last) })
	}
	if q.Reverse {
		slices.Reverse(all)
	}
	return all[:min(len(all), q.Rows)]
}

// urgency ranks states: those first in which somebody has to act, then those that
// end by themselves.
var urgency = [tcp.NumStates]int8{
	tcp.CloseWait: 0, tcp.FinWait2: 0, tcp.FinWait1: 0, tcp.LastAck: 0, tcp.Closing: 0, tcp.SynSent: 0, tcp.SynRecv: 0,
	tcp.Established: 1, tcp.TimeWait: 2, tcp.Listen: 3, tcp.Close: 3,
}

var connOrders = map[string]func(a, b *entry) int{
	"stuck": func(a, b *entry) int {
		return cmp.Or(cmp.Compare(urgency[a.state], urgency[b.state]), cmp.Compare(a.since, b.since))
	},
	"age":    func(a, b *entry) int { return cmp.Compare(a.since, b.since) },
	"life":   func(a, b *entry) int { return cmp.Compare(a.opened, b.opened) },
	"resent": func(a, b *entry) int { return -cmp.Compare(a.resent, b.resent) },
	"state": func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.state, b.state), cmp.Compare(a.since, b.since))
	},
	"process": func(a, b *entry) int { return compareProcesses(a.process, b.process) },
	"remote": func(a, b *entry) int {
		return cmp.Or(a.remote.Addr().Unmap().Compare(b.remote.Addr().Unmap()), cmp.Compare(a.remote.Port(), b.remote.Port()))
	},
}

func compareProcesses(a, b *group) int {
	x, y := &a.owner.Task, &b.owner.Task
	return cmp.Or(bytes.Compare(x.Comm[:], y.Comm[:]), cmp.Compare(a.key.pid, b.key.pid))
}

// conns lists connections, listeners apart, in the order of q. member, if not
// nil, says which.
func (m *Model) conns(q *Query, member func(*entry) bool) (rows []Conn, total int) {
	order := connOrders[q.order()]
	if order == nil {
		order = connOrders["stuck"]
	}
	t := top[*entry]{most: q.Rows, before: func(a, b *entry) bool {
		n := order(a, b)
		if q.Reverse {
			n = -n
		}
		return cmp.Or(n, cmp.Compare(a.id.Cookie, b.id.Cookie), cmp.Compare(a.id.NetNS, b.id.NetNS)) < 0
	}}
	for e := range m.entries.all {
		if e.listening || len(m.filter.States) > 0 && !m.filter.SelectsState(e.state) || member != nil && !member(e) {
			continue
		}
		total++
		t.add(e)
	}
	for _, e := range t.sorted() {
		rows = append(rows, e.row())
	}
	return rows, total
}

func (e *entry) row() Conn {
	return Conn{
		ID: e.id, Local: e.local, Remote: e.remote, Process: e.process.owner.Task, Role: e.role, State: e.state,
		Since: e.since, Opened: e.opened, SinceKnown: e.sinceKnown, OpenedKnown: e.openedKnown, Resent: e.resent,
	}
}

// groups lists the groups that are in use, or were not long ago.
func (m *Model) groups(q *Query, x *groups) (rows []Group, total int) {
	add := func(g *group) {
		if g.open > 0 || g.ended > 0 {
			rows = append(rows, m.group(q.Tab, g))
		}
	}
	for _, g := range x.byKey {
		if q.Tab == Listeners && g.states[tcp.Listen] == 0 && g.open == 0 {
			continue
		}
		add(g)
	}
	if x.others != nil {
		add(x.others)
		rows[len(rows)-1].Others = true
	}
	order := groupOrders[q.order()]
	slices.SortFunc(rows, func(a, b Group) int {
		n := order(&a, &b)
		if q.Reverse {
			n = -n
		}
		return cmp.Or(n, compareNames(&a, &b))
	})
	return rows[:min(len(rows), q.Rows)], len(rows)
}

func (m *Model) group(tab Tab, g *group) Group {
	r := Group{
		Ref: GroupRef{tab, g.key}, Owner: g.owner, At: g.key.at, NetNS: g.key.netns, Role: g.key.role,
		States: g.states, Open: int(g.open), Opened: g.opened, Ended: g.ended, Resets: g.resets, Resent: g.resent,
		PerSecond: g.rate.now(m.now), Queue: g.queue, QueueKnown: g.queueAt != 0, Full: g.full, FullSYN: g.fullSYN,
		Drops: g.drops, DropsKnown: g.dropsSet,
	}
	if tab == Listeners {
		r.Open -= int(g.states[tcp.Listen]) // connections
	}
	return r
}

var groupOrders = map[string]func(a, b *Group) int{
	"open": func(a, b *Group) int { return -cmp.Compare(a.Open, b.Open) },
	"rate": func(a, b *Group) int {
		return cmp.Or(-cmp.Compare(int(a.PerSecond*10), int(b.PerSecond*10)), -cmp.Compare(a.Opened, b.Opened))
	},
	"resets":  func(a, b *Group) int { return -cmp.Compare(a.Resets, b.Resets) },
	"resent":  func(a, b *Group) int { return -cmp.Compare(a.Resent, b.Resent) },
	"name":    compareNames,
	"address": compareNames,
	"queue": func(a, b *Group) int {
		return cmp.Or(-cmp.Compare(a.fill(), b.fill()), -cmp.Compare(a.Full+a.FullSYN, b.Full+b.FullSYN))
	},
	"full": func(a, b *Group) int { return -cmp.Compare(a.Full+a.FullSYN, b.Full+b.FullSYN) },
	"port": func(a, b *Group) int { return cmp.Compare(a.At.Port(), b.At.Port()) },
}

// fill returns how full a listener's accept queue is, in percent.
func (g *Group) fill() int {
	if !g.QueueKnown || g.Queue.Limit == 0 {
		return 0
	}
	return int(100 * uint64(g.Queue.Length) / uint64(g.Queue.Limit))
}

func compareNames(a, b *Group) int {
	return cmp.Or(
		bytes.Compare(a.Owner.Task.Comm[:], b.Owner.Task.Comm[:]), cmp.Compare(a.Owner.Task.PID, b.Owner.Task.PID),
		a.At.Compare(b.At), cmp.Compare(a.Role, b.Role), cmp.Compare(a.NetNS, b.NetNS),
	)
}

func (m *Model) troubles(q *Query, x *troubles) (rows []Trouble, total int) {
	for _, t := range x.byKey {
		r := *t
		r.PerSecond = t.rate.now(m.now)
		rows = append(rows, r)
	}
	order := troubleOrders[q.order()]
	slices.SortFunc(rows, func(a, b Trouble) int {
		n := order(&a, &b)
		if q.Reverse {
			n = -n
		}
		return cmp.Or(n, compareTroubles(&a.Key, &b.Key))
	})
	return rows[:min(len(rows), q.Rows)], len(rows)
}

var troubleOrders = map[string]func(a, b *Trouble) int{
	"latest":    func(a, b *Trouble) int { return -cmp.Compare(a.Last, b.Last) },
	"count":     func(a, b *Trouble) int { return -cmp.Compare(a.Count, b.Count) },
	"rate":      func(a, b *Trouble) int { return -cmp.Compare(int(a.PerSecond*10), int(b.PerSecond*10)) },
	"time-lost": func(a, b *Trouble) int { return -cmp.Compare(a.TimeLost, b.TimeLost) },
}

func compareTroubles(a, b *TroubleKey) int {
	return cmp.Or(
		a.Remote.Compare(b.Remote), cmp.Compare(a.Service, b.Service), cmp.Compare(a.PID, b.PID), cmp.Compare(a.Cause, b.Cause),
		cmp.Compare(a.Role, b.Role), cmp.Compare(a.NetNS, b.NetNS),
	)
}

// A top keeps the first so many of what is added, in an order: a heap with the
// last of them at its root.
type top[T any] struct {
	most   int
	before func(a, b T) bool
	heap   []T
}

func (t *top[T]) add(x T) {
	if len(t.heap) < t.most {
		t.heap = append(t.heap, x)
		for i := len(t.heap) - 1; i > 0; {
			up := (i - 1) / 2
			if !t.before(t.heap[up], t.heap[i]) {
				return
			}
			t.heap[up], t.heap[i] = t.heap[i], t.heap[up]
			i = up
		}
		return
	}
	if t.most == 0 || !t.before(x, t.heap[0]) {
		return
	}
	t.heap[0] = x
	for i := 0; ; {
		last := i
		for _, down := range [...]int{2*i + 1, 2*i + 2} {
			if down < len(t.heap) && t.before(t.heap[last], t.heap[down]) {
				last = down
			}
		}
		if last == i {
			return
		}
		t.heap[i], t.heap[last] = t.heap[last], t.heap[i]
		i = last
	}
}

// sorted returns them in order, and ends the use of t.
func (t *top[T]) sorted() []T {
	slices.SortFunc(t.heap, func(a, b T) int {
		switch {
		case t.before(a, b):
			return -1
		case t.before(b, a):
			return 1
		}
		return 0
	})
	return t.heap
}

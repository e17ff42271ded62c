package conn

import "github.com/tcptrace/tcptrace/internal/event"

// orphanTotals are counters whose connection was not known as they came.
type orphanTotals struct {
	id       event.ID
	time     event.Time
	counters event.Counters
}

// BytesAcked returns the bytes of payload that the peer has acknowledged. ok is
// false where they are not known to a byte: the kernel also counts a client's
// SYN, and which side c is on is not known.
func (c *Connection) BytesAcked() (n uint64, ok bool) {
	n = c.Counters.BytesAcked
	switch {
	case !c.HasCounters || c.Role == RoleUnknown && n > 0:
		return 0, false
	case c.Role == Client && n > 0:
		n--
	}
	return n, true
}

// totals handles the counters of a full socket. Those of a connection whose
// first event they are wait for the transition to CLOSE, which is next.
func (t *Tracker) totals(ev *event.Event, r *record) {
	past := r
	if r = t.meet(r, ev); r != nil {
		r.Counters, r.HasCounters = ev.Counters, true
	} else if !t.outlived(past, ev) {
		t.orphanTotals = orphanTotals{ev.ID, ev.Time, ev.Counters}
	}
}

// takeOrphanTotals gives r, first known by ev, its counters if they came
// before.
func (t *Tracker) takeOrphanTotals(r *record, ev *event.Event) {
	o := &t.orphanTotals
	if ev.Kind == event.State && o.id == ev.ID && o.time == ev.Time && ev.ID.Cookie != 0 {
		r.Counters, r.HasCounters = o.counters, true
	}
}

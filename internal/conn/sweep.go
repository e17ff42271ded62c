package conn

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A sweep reads the kernel's tables of sockets. It tells of those that are
// older than the trace, and heals what lost events have done: a state that is
// wrong, a connection whose end was not seen.

// timeWaitLength is TCP_TIMEWAIT_LEN: the time that every stay in TIME_WAIT is
// set to, when it begins and whenever it is set again.
const timeWaitLength = 60 * time.Second

// leastIdle is for how long nothing must have come for it to be told.
const leastIdle = time.Second

// seen handles a socket that a sweep found.
func (t *Tracker) seen(ev *event.Event, r *record) {
	if !ev.Old.Valid() || ev.Old == tcp.Close {
		t.stats.Stray++
		return
	}
	at, past := ev.Time, r
	if ev.Old == tcp.TimeWait && ev.Left > 0 && ev.Left <= timeWaitLength {
		at -= event.Time(timeWaitLength - ev.Left) // it was in TIME_WAIT then
	}
	if r = t.meet(r, ev); r == nil {
		if past != nil && ev.Time <= past.Closed+moment {
			return // seen on its way out
		}
		r = t.adopt(ev, ev.Old)
		r.mini = ev.Left > 0
		r.Opened, r.Since, r.Spans[0].Begin = at, at, at
		r.setOwner(ev, ViaSnapshot)
		t.change = Change{Kind: Found, Time: ev.Time, Conn: &r.Connection, New: r.State}
		t.emit(&t.change)
	}
	r.seen, r.missed = true, 0
	if r.State != ev.Old && r.Since+moment < ev.Time {
		t.correct(r, ev, at)
	}
	if r.setOwner(ev, ViaSnapshot) {
		t.emitOwned(r, ev)
	}
	if idle := ev.Idle >= leastIdle; idle || r.idle {
		r.idle = idle
		t.change = Change{Kind: Idle, Time: ev.Time, Conn: &r.Connection, Event: ev}
		t.emit(&t.change)
	}
}

// correct puts r into the state that a sweep found it in, since at or longer.
func (t *Tracker) correct(r *record, ev *event.Event, at event.Time) {
	t.stats.Corrected++
	old := r.State
	t.resync(r, ev.Old, max(at, r.Since))
	r.mini = ev.Left > 0
	t.change = Change{Kind: Corrected, Time: ev.Time, Conn: &r.Connection, Old: old, New: ev.Old}
	t.emit(&t.change)
}

// swept handles the end of a sweep: what it has not found, and the one before
// had not either, is gone, and was when it was first missed.
func (t *Tracker) swept(ev *event.Event) {
	for seat := t.index.oldest; seat != 0; {
		next := t.index.seats.at(seat).newer
		if t.index.sweptAsleep(seat, ev) {
			seat = next
			continue
		}
		r := t.index.record(seat)
		switch {
		case r.ID.NetNS != ev.ID.NetNS:
		case r.seen:
			r.seen, r.missed = false, 0
		case r.Since+moment >= ev.From || r.doubt != nil:
			r.missed = 0 // it began, or changed its place, meanwhile
		case r.missed == 0:
			r.missed = max(ev.Time, 1)
		default:
			t.stats.Vanished++
			t.vanish(r, r.missed)
		}
		seat = next
	}
}

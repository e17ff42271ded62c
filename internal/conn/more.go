package conn

import "github.com/tcptrace/tcptrace/internal/event"

// retransmitMore handles what a connection has sent again without an event for
// each: a change for each class, with its segments. Those of too many
// connections at once are nobody's.
func (t *Tracker) retransmitMore(ev *event.Event, r *record) {
	if ev.ID.Cookie == 0 {
		t.crowd(ev)
		return
	}
	if r = t.resender(ev, r); r == nil {
		return
	}
	for class, n := range ev.Suppressed.ByClass {
		if n == 0 {
			continue
		}
		r.total += n
		if !r.dead {
			r.Retransmits[class] += n
			t.resentMore(r, Class(class), n, ev.Time)
		}
		t.change = Change{Kind: Retransmitted, Time: ev.Time, Conn: &r.Connection, Event: ev, Class: Class(class), Segments: n}
		t.emit(&t.change)
	}
}

// crowd passes on counts of what no connection can be named for.
func (t *Tracker) crowd(ev *event.Event) {
	t.change = Change{Kind: Crowd, Time: ev.Time, Event: ev, Segments: suppressed(ev)}
	t.emit(&t.change)
}

// suppressed returns the segments that ev counts.
func suppressed(ev *event.Event) (n uint32) {
	for _, k := range ev.Suppressed.ByClass {
		n += k
	}
	return n
}

// resentMore adds to r's episode, if it is not over, what was sent again at some
// time before at. What it was is not known: each segment is taken to be another.
func (t *Tracker) resentMore(r *record, class Class, n uint32, at event.Time) {
	e := r.episode
	if e == nil {
		return
	}
	rto := e.lastRTO
	e.add(class, n, 0, e.Last)
	e.distinct += n
	if e.place >= 0 {
		e.deadline = max(e.deadline, at.Add(quietFor(rto)))
	}
}

// Counted by the kernel side as they are numbered here.
var _ = [1]struct{}{}[len(event.Suppressed{}.ByClass)-int(NumClasses)]

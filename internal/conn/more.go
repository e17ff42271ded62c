package conn

import "github.com/tcptrace/tcptrace/internal/event"

// retransmitMore handles what a connection has sent again without an event for
// each: a change for each class, with its segments. Those of too many
// connections at once are nobody's, and only counted.
func (t *Tracker) retransmitMore(ev *event.Event, r *record) {
	if ev.ID.Cookie == 0 {
		t.stats.Stray++
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
			if r.episode != nil {
				r.episode.add(Class(class), n, 0, ev.Time)
			}
		}
		t.change = Change{Kind: Retransmitted, Time: ev.Time, Conn: &r.Connection, Event: ev, Class: Class(class), Segments: n}
		t.emit(&t.change)
	}
}

// Counted by the kernel side as they are numbered here.
var _ = [1]struct{}{}[len(event.Suppressed{}.ByClass)-int(NumClasses)]

package conn

import "github.com/tcptrace/tcptrace/internal/event"

// Forget ends the interest in c, the Connection of the change that a Handler is
// just handling: no further change of it follows, and no Ended, and its memory
// is free for others. It is for connections of which the source hands over no
// more. Should it do so, c is again one first known in the middle of its life.
//
// Unlike the other methods, a Handler may call it. Ended ones are forgotten
// anyway.
func (t *Tracker) Forget(c *Connection) {
	r := t.index.byCookie(c.ID)
	if c.ID.Cookie == 0 {
		r = t.index.byTuple[makeTuple(c.ID.NetNS, c.Local, c.Remote)]
	}
	if r == nil || &r.Connection != c || r.dead || r.unwanted {
		return
	}
	r.unwanted = true
	t.unwanted = append(t.unwanted, r)
}

// forget drops what Forget was called for, now that nothing is done with it.
func (t *Tracker) forget() {
	for _, r := range t.unwanted {
		if r.dead || !r.unwanted { // it ended, and may be another by now
			continue
		}
		if r.doubt != nil {
			t.drop(r.doubt)
		}
		if r.episode != nil {
			t.dropEpisode(r)
		}
		t.stats.Forgotten++
		t.stats.States[r.State]--
		if r.listening {
			t.listeners.add(r, -1)
		}
		r.Closed = t.now
		t.index.retire(r, true)
	}
	t.unwanted = t.unwanted[:0]
}

// straggles reports whether ev is one of the last events of r, which was
// forgotten a moment ago: it was on its way when the source learned that no
// more is wanted. What a process does later is no such event.
func (r *record) straggles(ev *event.Event) bool {
	return r.dead && r.unwanted && !ev.Task.Known() && ev.Time <= r.Closed+moment
}

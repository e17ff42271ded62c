package conn

import "github.com/tcptrace/tcptrace/internal/event"

// maxWindows is the number of loss windows that are remembered. Windows that
// touch are one.
const maxWindows = 16

// losses knows the times at which events were lost. What may have been touched
// by a loss is marked when it is next met, not when the loss becomes known:
// there may be a million connections.
type losses struct {
	windows []window // oldest first
	last    uint32   // the newest window's number
	dropped uint32   // the newest forgotten window's number
}

type window struct {
	number   uint32
	from, to event.Time
}

// first returns the number up to which a new record need not look at windows.
func (l *losses) first() uint32 { return l.dropped }

func (l *losses) add(from, to event.Time) {
	l.last++
	if n := len(l.windows); n > 0 && from <= l.windows[n-1].to && to >= l.windows[n-1].from {
		w := &l.windows[n-1]
		w.number, w.from, w.to = l.last, min(w.from, from), max(w.to, to)
		return
	}
	if len(l.windows) == maxWindows {
		l.dropped = l.windows[0].number
		l.windows = l.windows[:copy(l.windows, l.windows[1:])]
	}
	l.windows = append(l.windows, window{l.last, from, to})
}

// covers reports whether an event may have been lost in [from, to].
func (l *losses) covers(from, to event.Time) bool {
	for _, w := range l.windows {
		if from <= w.to && to >= w.from {
			return true
		}
	}
	return false
}

// lost handles the news that events were lost. Those of a listener's queue are of no
// connection's life.
func (t *Tracker) lost(ev *event.Event) {
	t.stats.Lost += ev.Loss.Count
	if ev.Loss.Kind != event.QueueFull {
		t.losses.add(min(ev.Loss.From, ev.Time), ev.Time)
	}
	t.change = Change{Kind: Lost, Time: ev.Time, Event: ev}
	t.emit(&t.change)
}

// markLost spoils r, which is alive at now, if events were lost during its
// life.
func (t *Tracker) markLost(r *record, now event.Time) {
	if r.losses == t.losses.last {
		return
	}
	if r.losses < t.losses.dropped {
		r.spoil()
	}
	for _, w := range t.losses.windows {
		if w.number <= r.losses {
			continue
		}
		if r.Opened <= w.to {
			if now < w.from {
				return // it may end before the loss
			}
			r.spoil()
		}
		r.losses = w.number
	}
}

package conn

import (
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// moment is within what events of one system call or packet follow each other.
const moment = 1_000_000 // ns

// timeWaitBegin handles the birth of a timewait socket, or its timer set again.
func (t *Tracker) timeWaitBegin(ev *event.Event, r *record) {
	if ev.New != tcp.FinWait2 && ev.New != tcp.TimeWait {
		t.stats.Stray++
		return
	}
	past := r
	if r = t.meet(r, ev); r == nil {
		if past == nil || !past.mini || !t.outlived(past, ev) {
			t.adopt(ev, ev.New).mini = true
		}
		return
	}
	first := !r.mini
	r.mini = true
	if ev.New == tcp.FinWait2 && r.State == tcp.FinWait2 && first {
		t.change = Change{Kind: Orphaned, Time: ev.Time, Conn: &r.Connection, New: tcp.FinWait2}
		t.emit(&t.change)
	}
	switch {
	case r.State == tcp.TimeWait:
		// Set again, or the FIN was reported before.
	case ev.New == tcp.TimeWait:
		// Where the timewait socket was in FIN_WAIT2, the peer's FIN set the
		// timer again.
		s := step{old: r.State, new: tcp.TimeWait, time: ev.Time}
		if first && ev.Old.Valid() && ev.Old != tcp.TimeWait {
			s.old = ev.Old
		}
		t.step(r, s)
	case r.State != tcp.FinWait2:
		t.stats.Missing++
		t.resync(r, tcp.FinWait2, max(ev.Time, r.Since))
	}
}

// swallow handles the CLOSE of a full socket that a timewait socket replaced.
func (t *Tracker) swallow(r *record, ev *event.Event) {
	r.setCloser(ev, EndUnknown)
	t.drowsy = r
	s := step{old: ev.Old, new: tcp.TimeWait, time: r.Since}
	if r.adopted && r.gap.fits(s) && ev.Time.Sub(r.Since) < moment {
		// The connection is first known by its timewait socket, and that was
		// just made: now we know of its state before.
		t.late(r, s)
	}
}

// timeWaitFin handles the peer's FIN that met a timewait socket in FIN_WAIT2.
func (t *Tracker) timeWaitFin(ev *event.Event, r *record) {
	past := r
	if r = t.meet(r, ev); r == nil {
		if t.outlived(past, ev) {
			return
		}
		r = t.adopt(ev, tcp.FinWait2)
	}
	r.mini = true
	if r.State != tcp.TimeWait { // else the FIN was sent again
		t.step(r, step{old: tcp.FinWait2, new: tcp.TimeWait, time: ev.Time})
	}
}

// timeWaitEnd ends a connection with its timewait socket.
func (t *Tracker) timeWaitEnd(ev *event.Event, r *record) {
	old := ev.Old
	if old != tcp.FinWait2 {
		old = tcp.TimeWait
	}
	past := r
	if r = t.meet(r, ev); r == nil {
		if past != nil && past.mini || t.outlived(past, ev) {
			return
		}
		r = t.adopt(ev, old)
	}
	if !ev.Old.Valid() && r.State == tcp.FinWait2 {
		old = tcp.FinWait2
	}
	if !r.mini && (r.reborn || r.State == tcp.SynSent || r.State == tcp.Listen) {
		t.stats.Stray++ // of the socket's life before this one
		return
	}
	if r.State == tcp.FinWait2 && old == tcp.TimeWait {
		// The peer's FIN came unseen.
		t.step(r, step{old: tcp.FinWait2, new: tcp.TimeWait, time: ev.Time, unsure: true})
	}
	r.mini = true
	r.End = endOfTimeWait(r, old, ev.Cause)
	t.conclude(r, step{old: old, new: tcp.Close, time: ev.Time, cause: ev.Cause, task: ev.Task})
}

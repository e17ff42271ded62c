package conn

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// state handles a full socket's transition. r is its record, or nil; it may
// have ended.
func (t *Tracker) state(ev *event.Event, r *record) {
	switch {
	case !ev.Old.Valid() || !ev.New.Valid():
		t.stats.Stray++
	case ev.Old == tcp.Listen && ev.New == tcp.SynRecv:
		// The clone of a listener: the request told of this, and the cookie
		// may still be the listener's.
		t.stats.Stray++
	case ev.Old == ev.New:
		t.unchanged(ev, r)
	case ev.Old == tcp.Close && (ev.New == tcp.SynSent || ev.New == tcp.Listen):
		t.birth(ev, r)
	default:
		t.move(ev, r)
	}
}

// birth begins a connection, or a listener.
func (t *Tracker) birth(ev *event.Event, r *record) {
	role, via := Client, ViaConnect
	if ev.New == tcp.Listen {
		role, via = Server, ViaListen
	}
	if t.overtaken(ev, r, stepOf(ev), role, via) {
		return
	}
	r = t.rebegin(ev, r)
	r.Role = role
	r.setOwner(ev, via)
	t.announce(r)
}

// overtaken reports whether later events of r's life came before its birth s,
// and emits s then.
func (t *Tracker) overtaken(ev *event.Event, r *record, s step, role Role, via Via) bool {
	switch {
	case r == nil:
		return false
	case r.dead:
		if !r.adopted || !t.outlived(r, ev) {
			return false
		}
		t.afterEnd(r, s)
		return true
	case !r.outgrew(s):
		return false
	}
	t.release(r)
	t.identify(r, ev)
	r.Role = role
	r.setOwner(ev, via)
	t.late(r, s)
	return true
}

// rebegin begins a connection in the state that ev, its birth, puts it in. r,
// the life before it of the same identity, ends if it has not.
func (t *Tracker) rebegin(ev *event.Event, r *record) *record {
	reborn := r != nil && !r.dead
	if reborn {
		t.lostDeath(r, ev.Time)
	}
	s := ev.New
	if ev.Kind == event.RequestBegin {
		s = tcp.SynRecv
	}
	r = t.begin(ev, s)
	r.reborn = reborn
	return r
}

// lostDeath ends r, whose end was not seen: another began in its place at at,
// so it was over by then.
func (t *Tracker) lostDeath(r *record, at event.Time) {
	t.release(r)
	if r.doubt != nil {
		t.settle(r.doubt)
	}
	if r.dead {
		return
	}
	t.stats.Reborn++
	t.vanish(r, at)
}

// vanish ends r, whose end was not seen, and which was over by at.
func (t *Tracker) vanish(r *record, at event.Time) {
	t.release(r)
	r.spoil()
	r.Closed = max(at, r.Since)
	last := &r.Spans[len(r.Spans)-1]
	last.End, last.EndUnknown = r.Closed, true
	t.over(r, r.Closed, false)
}

// unchanged handles a step from a state to itself: tcp_close_state reports one
// for a close() in FIN_WAIT2, say. It tells only who closed.
func (t *Tracker) unchanged(ev *event.Event, r *record) {
	if r = t.meet(r, ev); r == nil {
		return
	}
	switch ev.New {
	case tcp.FinWait1, tcp.FinWait2, tcp.Closing, tcp.LastAck:
		r.setCloser(ev, EndUnknown)
	}
}

// move handles a transition that begins no connection.
func (t *Tracker) move(ev *event.Event, r *record) {
	past := r
	if r = t.meet(r, ev); r == nil {
		if t.outlived(past, ev) {
			t.afterEnd(past, stepOf(ev))
			return
		}
		r = t.unseen(ev)
	}
	r.number(ev)
	switch {
	case ev.New == tcp.Close && r.mini && (ev.Old == tcp.FinWait2 || ev.Old == tcp.Closing):
		t.swallow(r, ev)
	case ev.New == tcp.Close:
		t.leave(r, ev)
	default:
		r.setCloser(ev, EndUnknown)
		t.step(r, stepOf(ev))
	}
}

// number takes in the initial sequence numbers that ev tells. In a simultaneous
// open the first step tells one of them, and the second the other.
func (r *record) number(ev *event.Event) {
	if !r.ISNs.Sent.Known {
		r.ISNs.Sent = ev.ISNs.Sent
	}
	if !r.ISNs.Received.Known {
		r.ISNs.Received = ev.ISNs.Received
	}
}

// unseen makes a record for a connection whose first event is ev.
func (t *Tracker) unseen(ev *event.Event) *record {
	if !ev.WithoutRequest || ev.Old != tcp.SynRecv {
		return t.adopt(ev, ev.Old)
	}
	// A SYN cookie: the kernel kept nothing of the SYN.
	r := t.begin(ev, tcp.SynRecv)
	r.Role = Server
	r.held = true
	t.release(r)
	return r
}

// afterEnd emits a transition that came after the end of its connection, to
// which it belongs by its time.
func (t *Tracker) afterEnd(r *record, s step) {
	t.change = Change{
		Kind: Transition, Time: s.time, Conn: &r.Connection,
		Old: s.old, New: s.new, Illegal: !tcp.Legal(s.old, s.new), Cause: s.cause, Task: s.task,
	}
	t.emit(&t.change)
}

// bound handles the local port of a connecting socket.
func (t *Tracker) bound(ev *event.Event, r *record) {
	if t.meet(r, ev) == nil && !t.outlived(r, ev) {
		t.adopt(ev, tcp.SynSent)
	}
}

// A step is a transition to be made.
type step struct {
	old, new tcp.State
	time     event.Time
	unsure   bool // time is when we heard of it: it was earlier
	cause    event.Cause
	task     event.Task
}

func stepOf(ev *event.Event) step {
	return step{old: ev.Old, new: ev.New, time: ev.Time, cause: ev.Cause, task: ev.Task}
}

// step moves r as s says, and emits it. The event is right and what we knew is
// wrong, where the two differ, unless the event is older than what we know.
func (t *Tracker) step(r *record, s step) {
	if r.outgrew(s) {
		t.late(r, s)
		return
	}
	at := max(s.time, r.Since)
	if r.State != s.old {
		t.stats.Missing++
		t.resync(r, s.old, at)
	}
	inState, known := at.Sub(r.Since), r.SinceKnown && !s.unsure
	if !known && s.unsure {
		inState = 0
	}
	if s.new != tcp.FinWait2 && s.new != tcp.TimeWait {
		r.mini = false
	}
	t.enter(r, s.new, at, !s.unsure)
	t.emitStep(r, s, inState, known)
}

// emitStep emits the transition s of r.
func (t *Tracker) emitStep(r *record, s step, inState time.Duration, known bool) {
	illegal := !tcp.Legal(s.old, s.new)
	if illegal {
		t.stats.Illegal++
		r.spoil()
	}
	c := t.plain(Transition, s.time, r)
	c.Old, c.New, c.InState, c.InStateKnown = s.old, s.new, inState, known
	c.Cause, c.Illegal, c.Task = s.cause, illegal, s.task
	t.emit(c)
}

// plain returns a change of r without an event or an episode. Most are such: what only
// the others have is not emptied each time.
func (t *Tracker) plain(kind ChangeKind, at event.Time, r *record) *Change {
	c := &t.change
	if c.Event != nil || c.Episode != nil {
		*c = Change{}
	}
	c.Kind, c.Time, c.Conn = kind, at, &r.Connection
	c.Old, c.New, c.InState, c.InStateKnown = tcp.Unknown, tcp.Unknown, 0, false
	c.Cause, c.Illegal, c.Task = event.CauseUnknown, false, event.Task{}
	return c
}

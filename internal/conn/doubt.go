package conn

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Some things can be understood only with what follows them soon.
//
// FIN_WAIT2 -> CLOSE (or CLOSING -> CLOSE) with no error and no timewait
// socket is a TIME_WAIT left out for want of room (tcp_time_wait), unless a
// RST follows: close() of a socket with unread data, with TCP_LINGER2 < 0 or
// SO_LINGER 0 reports its CLOSE first and its RST after.
//
// A RST "received" in FIN_WAIT1 or FIN_WAIT2 is none if one is sent right
// after: data came for a socket that nobody can read, and
// tcp_rcv_state_process calls tcp_reset, which reports a RST received, and
// then answers with one.
//
// A CLOSE without an error, from a state in which the peer still waits for
// more, is one by RST; the RST's own event, which follows, tells why.
//
// A RST received from a socket of this host is explained by the event of its
// sending, which comes after it on loopback.
//
// So these wait for the next event of their connection, or for the peer's.

// patience is how long, in the time of events. An event of the same system call
// follows within microseconds, if nothing gets in between: the kernel handles
// what else has come from the network before the call goes on.
const patience = event.Time(100 * time.Millisecond)

// maxDoubts bounds how many wait. What has waited longest then waits no more.
const maxDoubts = 8192

// A doubt is what waits, of one connection.
type doubt struct {
	record       *record
	until        event.Time
	reset, close event.Event // copies; Kind is 0 where there is none
	told         Reset       // of reset, if PeerKnown
	older, newer *doubt
}

// doubts is a queue, and a list of free ones linked by newer.
type doubts struct {
	head, tail, free *doubt
	count            int
}

// doubtful reports whether ev, r's transition to CLOSE, may mean two things.
func (t *Tracker) doubtful(r *record, ev *event.Event) bool {
	if r.doubt != nil {
		return true
	}
	if r.State != ev.Old || ev.Err != 0 || ev.Cause == event.CauseTimeout || r.resetSent || r.resetReceived {
		return false
	}
	switch ev.Old {
	case tcp.FinWait2, tcp.Closing:
		return ev.Cause == event.CauseUnknown
	case tcp.SynRecv, tcp.Established, tcp.FinWait1, tcp.CloseWait:
		return true // see endWithoutError
	}
	return false
}

func (t *Tracker) doubtClose(r *record, ev *event.Event) {
	d := t.doubtOf(r, ev)
	d.close = *ev
	if d.told.PeerKnown {
		t.settle(d)
	}
}

func (t *Tracker) doubtReset(r *record, ev *event.Event) {
	t.doubtOf(r, ev).reset = *ev
}

// doubtOf returns r's doubt, which is made where there is none.
func (t *Tracker) doubtOf(r *record, ev *event.Event) *doubt {
	if r.doubt != nil {
		return r.doubt
	}
	q := &t.doubts
	d := q.free
	if d == nil {
		d = new(doubt)
	} else {
		q.free = d.newer
		*d = doubt{}
	}
	d.record, d.until = r, ev.Time+patience
	r.doubt = d
	d.older = q.tail
	if q.tail != nil {
		q.tail.newer = d
	} else {
		q.head = d
	}
	q.tail = d
	if q.count++; q.count > maxDoubts {
		t.settle(q.head)
	}
	return d
}

// drop takes d out of the queue. It remains readable until the next doubt.
func (t *Tracker) drop(d *doubt) {
	q := &t.doubts
	if d.older != nil {
		d.older.newer = d.newer
	} else {
		q.head = d.newer
	}
	if d.newer != nil {
		d.newer.older = d.older
	} else {
		q.tail = d.older
	}
	q.count--
	d.record.doubt = nil
	d.newer = q.free
	q.free = d
}

// resolve decides d by ev, an event of its connection, as far as ev says
// anything about it.
func (t *Tracker) resolve(d *doubt, ev *event.Event) {
	closing := d.close.Kind != 0
	switch {
	case ev.Kind == event.Totals:
	case ev.Kind == event.State && ev.New == tcp.Close && !closing:
	case ev.Kind == event.TimeWaitBegin && closing && d.reset.Kind == 0:
		t.drop(d) // it overtook the timewait socket's begin
	case ev.Kind == event.ResetSent && closing:
		t.drop(d)
		d.record.resetSent = true
		t.closed(d.record, &d.close, event.CauseUnknown)
	default:
		t.settle(d)
	}
}

// settle decides d: nothing followed.
func (t *Tracker) settle(d *doubt) {
	t.drop(d)
	r := d.record
	if d.reset.Kind != 0 {
		told := d.told
		if !told.PeerKnown {
			told = t.unexplained(r, &d.reset)
		}
		r.resetReceived = true
		r.explain(&told)
		t.emitReceived(&d.reset, &r.Connection, &told)
	}
	if d.close.Kind == 0 {
		return
	}
	cause := d.close.Cause
	plain := d.reset.Kind == 0 && d.close.Err == 0 && (d.close.Old == tcp.FinWait2 || d.close.Old == tcp.Closing)
	if plain && cause == event.CauseUnknown && !t.losses.covers(d.close.Time-moment, d.until) {
		cause = event.CauseOverflow
	}
	t.closed(r, &d.close, cause)
}

// settleBefore decides the doubts whose moment was over before now, and ends the
// loss episodes that had been quiet for long enough by then, in order of time.
func (t *Tracker) settleBefore(now event.Time) {
	for {
		d := t.doubts.head
		if d != nil && d.until >= now {
			d = nil
		}
		e := t.episodes.quiet.due(now)
		switch {
		case d != nil && (e == nil || d.until <= e.deadline):
			t.settle(d)
		case e != nil:
			t.endEpisode(e.record, e.deadline, false, OutcomeRecovered)
		default:
			return
		}
	}
}

func (t *Tracker) settleAll() {
	for d := t.doubts.head; d != nil; d = t.doubts.head {
		t.settle(d)
	}
}

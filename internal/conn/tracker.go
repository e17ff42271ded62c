// Package conn joins events into connections: one life from the first SYN to
// the end of TIME_WAIT, whichever kernel objects it went through.
package conn

import (
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Options bound what a Tracker keeps. The zero Options are good for a host
// with a million sockets.
type Options struct {
	// MaxConnections bounds the sockets followed at once, listeners included.
	// A new one above the bound evicts the one whose state has not changed for
	// longest, or nearly: it ends with Closed 0 and Complete false, and is
	// counted. 0 means 1,048,576.
	MaxConnections int

	// MaxSpans bounds Connection.Spans, at most to 65,535; the oldest are cut.
	// No legal life needs more than seven. 0 means 32.
	MaxSpans int

	// Remember is the number of connections that are remembered after their
	// end, for the events that follow it, as close()'s RST does. 0 means 1,024.
	Remember int

	// Reuse says that no receiver keeps a Connection beyond its handler's
	// return. The memory of ended ones then serves new ones, and a steady
	// stream of connections allocates nothing.
	Reuse bool
}

// Stats are figures about a Tracker, over its whole life but for the first two.
type Stats struct {
	Live   int                // sockets followed now
	States [tcp.NumStates]int // of these, in each state

	Events  uint64 // handled, of any kind
	Lost    uint64 // events that the kernel side could not hand over
	Evicted uint64 // sockets dropped because of MaxConnections
	Illegal uint64 // transitions that no TCP makes
	Missing uint64 // transitions whose Old was not the state we knew
	Late    uint64 // events older than what had become of their connection
	Stray   uint64 // events that fit no connection, and begin none
	Reborn  uint64 // births of a connection that had not died

	Corrected uint64 // states that a sweep found to be others
	Forgotten uint64 // sockets that nobody wanted to hear more of
	Vanished  uint64 // sockets that sweeps no longer found, whose end was not seen
}

// A Tracker turns events into changes. It reads no clock and starts no
// goroutine: the same events give the same changes. It is not safe for
// concurrent use, and a Handler must not call back into it, but for Forget.
type Tracker struct {
	options Options
	index   index
	doubts  doubts
	losses  losses
	resets  resets

	episodes episodes

	listeners listeners

	stats Stats
	now   event.Time // latest Time seen

	// orphanTotals are the counters of a connection that is not known yet: its
	// first event of all is its last but one.
	orphanTotals orphanTotals

	unwanted []*record // see Forget
	drowsy   *record   // see nod

	emit   Handler // of the call under way
	change Change
	busy   bool // an event is being handled: no record may go to sleep
}

// New returns a Tracker that knows no connection.
func New(options Options) *Tracker {
	if options.MaxConnections <= 0 {
		options.MaxConnections = 1 << 20
	}
	if options.MaxSpans <= 0 {
		options.MaxSpans = 32
	}
	options.MaxSpans = min(options.MaxSpans, 1<<16-1)
	if options.Remember <= 0 {
		options.Remember = 1024
	}
	t := &Tracker{options: options, listeners: listeners{}}
	t.index.init(&t.options)
	return t
}

// Handle takes in one event, and calls emit with each change that it means.
// Events should come in order of Time; small inversions do no harm.
func (t *Tracker) Handle(ev *event.Event, emit Handler) {
	t.emit, t.busy = emit, true
	t.handle(ev)
	if len(t.unwanted) > 0 {
		t.forget()
	}
	t.busy = false
	t.nod()
	t.doze()
}

// nod lets a record sleep of which a timewait socket is left, where more are awake
// than the processor's cache holds: nothing happens to most of these for a minute.
// The record is in the cache now, and so is the next connection that gets it.
func (t *Tracker) nod() {
	if t.drowsy == nil {
		return
	}
	if t.index.filling() && t.drowsy.restful() {
		t.index.sleep(t.drowsy)
	}
	t.drowsy = nil
}

// doze lets records sleep, where more are awake than need to be.
func (t *Tracker) doze() {
	if !t.busy && t.index.crowdAwake() {
		t.index.doze()
	}
}

func (t *Tracker) handle(ev *event.Event) {
	t.stats.Events++
	t.now = max(t.now, ev.Time)
	if t.doubts.head != nil || len(t.episodes.quiet) > 0 {
		t.settleBefore(ev.Time)
	}
	switch ev.Kind {
	case event.Lost:
		t.lost(ev)
		return
	case event.Swept:
		t.swept(ev)
		return
	}
	if ev.Cause == event.CauseTwin {
		t.stats.Stray++ // no end, and its cookie may be another than the connection's
		return
	}
	r := t.index.find(ev)
	if r != nil && (r.reborn && ev.Time < r.Opened || r.straggles(ev)) {
		t.stats.Late++ // of the life before
		return
	}
	switch ev.Kind {
	case event.State:
		t.state(ev, r)
	case event.Bound:
		t.bound(ev, r)
	case event.RequestBegin:
		t.requestBegin(ev, r)
	case event.RequestEnd:
		t.requestEnd(ev, r)
	case event.TimeWaitBegin:
		t.timeWaitBegin(ev, r)
	case event.TimeWaitFin:
		t.timeWaitFin(ev, r)
	case event.TimeWaitEnd:
		t.timeWaitEnd(ev, r)
	case event.Retransmit, event.RetransmitSynAck:
		t.retransmit(ev, r)
	case event.RetransmitMore:
		t.retransmitMore(ev, r)
	case event.ResetMore:
		t.crowd(ev)
	case event.Congestion:
		t.congestion(ev, r)
	case event.ResetSent:
		t.resetSent(ev, r)
	case event.ResetReceived:
		t.resetReceived(ev, r)
	case event.Totals:
		t.totals(ev, r)
	case event.Used:
		t.used(ev, r, ViaIO)
	case event.Accepted:
		t.used(ev, r, ViaAccept)
	case event.Seen:
		t.seen(ev, r)
	case event.Dropped:
		t.notice(Dropped, ev, r)
	case event.QueueFull:
		t.notice(QueueFull, ev, r)
	case event.Failed:
		t.notice(Failed, ev, r)
	default:
		t.stats.Stray++
	}
}

// Advance says that every event up to now has been handed over, and emits
// what waited for a moment only. A live source that may fall silent calls it
// from time to time; it does not change what is emitted, nor the order of it.
func (t *Tracker) Advance(now event.Time, emit Handler) {
	t.emit, t.busy = emit, true
	t.settleBefore(now)
	t.forget()
	t.busy = false
}

// Finish ends the trace at now: it emits all that waited, and Ended, with
// Closed 0, for each connection that is still open, in the order in which they
// began, if there was always room enough.
// The Tracker then knows no connection and may be used again.
func (t *Tracker) Finish(now event.Time, emit Handler) {
	t.emit, t.busy = emit, true
	t.now = max(t.now, now)
	t.settleBefore(now)
	t.settleAll()
	for t.index.oldest != 0 {
		r := t.index.record(t.index.oldest)
		t.release(r)
		t.markLost(r, t.now)
		t.over(r, now, false)
	}
	t.index.forgetAll()
	t.unwanted = nil
	t.busy = false
}

// Open yields the sockets followed now, listeners included, in the order that
// Finish has. They must not be kept, and the Tracker not be called,
// while it runs.
func (t *Tracker) Open(yield func(*Connection) bool) {
	for seat := t.index.oldest; seat != 0; seat = t.index.seats.at(seat).newer {
		r := t.index.record(seat)
		t.markLost(r, t.now)
		if !yield(&r.Connection) {
			return
		}
		t.doze()
	}
}

// Stats returns the figures as they are now.
func (t *Tracker) Stats() Stats {
	s := t.stats
	s.Live = t.index.live
	return s
}

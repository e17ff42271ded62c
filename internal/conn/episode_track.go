package conn

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// An episode is a LossEpisode under way, and what the tracker alone needs.
type episode struct {
	LossEpisode
	links [maxLinks]Link // backs Chain

	record *record
	number uint64 // of all episodes: breaks ties

	// state is the socket's congestion state, since since, and stateAtLast what
	// it was at Last. told is set where the kernel tells when it changes.
	state, stateAtLast uint8
	since              event.Time
	told               bool
	undoable           bool // the kernel could take back its slowing down

	low, high uint32 // sequence numbers that were sent again, loss probes apart
	ranged    bool   // low and high are set
	distinct  uint32 // segments in there, each counted once
	probe     uint32 // sequence number of the last loss probe
	probeEnd  uint32
	probed    bool

	dsacks, dsacksAtFirst uint32
	dsacksKnown           bool

	deadline, key event.Time // see quiet
	place         int        // in quiet; -1: not in it
	lastRTO       uint32     // in force at Last, ms
	next          *episode   // in the list of free ones
}

// episodes are those under way.
type episodes struct {
	quiet quiet
	free  *episode
	begun uint64
	open  int
}

// recovering reports whether state is one in which the kernel repairs a loss.
func recovering(state uint8) bool { return state == caRecovery || state == caLoss }

// after reports whether the sequence number a follows b.
func after(a, b uint32) bool { return int32(a-b) > 0 }

// beginEpisode begins an episode of r.
func (t *Tracker) beginEpisode(r *record, at event.Time) *episode {
	x := &t.episodes
	e := x.free
	if e == nil {
		e = new(episode)
	} else {
		x.free = e.next
		*e = episode{}
	}
	x.begun++
	x.open++
	e.Chain = e.links[:0]
	e.record, e.number, e.place = r, x.begun, -1
	e.Begin, e.Last, e.since = at, at, at
	e.Outcome = OutcomeOpen
	r.episode = e
	return e
}

// resent notes in r's episode n segments that were sent again.
func (t *Tracker) resent(r *record, ev *event.Event, class Class, n uint32) {
	x := &ev.Retransmission
	e := r.episode
	if e != nil && e.overBefore(ev) {
		begin := ev.Time
		if recovering(x.CAState) && e.told && e.since > e.Last {
			begin = e.since // the kernel's step into it was the first sign
		}
		state, told, undoable := e.state, e.told, e.undoable
		e.told, e.undoable = false, false
		t.endEpisode(r, ev.Time, false, OutcomeRecovered)
		e = t.beginEpisode(r, begin)
		if begin != ev.Time {
			e.state, e.told, e.undoable = state, told, undoable
		}
	}
	if e == nil {
		e = t.beginEpisode(r, ev.Time)
	}
	if len(e.Chain) == 0 && ev.Time.Sub(e.Begin) < moment {
		e.Waited = waited(r, ev, class)
	}
	if x.CAState != e.state {
		e.state, e.since = x.CAState, ev.Time
	}
	e.stateAtLast, e.lastRTO = x.CAState, x.RTOms
	e.add(class, n, x.RTOms, ev.Time)
	if x.Flags&flagFIN != 0 {
		e.FINs += n
	}
	if ev.Kind == event.Retransmit {
		e.cover(ev, n)
		e.hear(x)
	}
	t.postpone(r, e, x.RTOms)
}

// waited returns how long a timer ran before the first segment of an episode.
func waited(r *record, ev *event.Event, class Class) time.Duration {
	switch class {
	case ClassSYN, ClassSYNACK:
		if r.OpenedKnown && r.Resent() == 0 {
			return ev.Time.Sub(r.Opened)
		}
	case ClassRTO, ClassFIN:
		if Trigger(ev) != ClassRTO {
			return 0
		}
	default:
		return 0
	}
	return time.Duration(ev.Retransmission.RTOms) * time.Millisecond
}

// postpone sets e's deadline, if it needs one: not where the kernel tells of
// its end, and not in a handshake, whose end is always told.
func (t *Tracker) postpone(r *record, e *episode, rtoMS uint32) {
	if e.told && recovering(e.state) || r.State == tcp.SynSent || r.State == tcp.SynRecv {
		t.episodes.quiet.remove(e)
		return
	}
	e.deadline = max(e.deadline, e.Last.Add(quietFor(rtoMS)))
	if e.place < 0 {
		t.episodes.quiet.put(e)
	}
}

// congestion handles the kernel's news that a socket's congestion state
// changed.
func (t *Tracker) congestion(ev *event.Event, r *record) {
	x := &ev.Retransmission
	past := r
	if r = t.meet(r, ev); r == nil {
		if t.outlived(past, ev) || !recovering(x.CAState) || !alive(ev.Old) {
			return
		}
		r = t.adopt(ev, ev.Old)
	}
	e := r.episode
	if recovering(x.CAState) {
		if e == nil {
			e = t.beginEpisode(r, ev.Time)
		}
		if e.state != x.CAState {
			e.state, e.since = x.CAState, ev.Time
		}
		e.told, e.undoable = true, x.Undo
		e.hear(x)
		t.postpone(r, e, x.RTOms)
		return
	}
	if e == nil {
		return
	}
	// Disorder alone says nothing of a loss probe; CWR says that it was needed,
	// but only with the first ACK of what was sent after it; Open that nothing is
	// missing (tcp_process_tlp_ack).
	if recovering(e.state) || x.CAState == caCWR || x.CAState == caOpen && e.state == caDisorder {
		e.hear(x)
		e.Undone = e.undoable && !x.Undo
		e.told = true
		t.endEpisode(r, ev.Time, x.CAState != caCWR || recovering(e.state), OutcomeRecovered)
		return
	}
	e.state, e.since = x.CAState, ev.Time
}

// alive reports whether a socket in state s may be followed from then on.
func alive(s tcp.State) bool { return s.Valid() && s != tcp.Close && s != tcp.Listen }

// endEpisode ends r's episode at at, or some time before where that is not
// known, and tells of it.
func (t *Tracker) endEpisode(r *record, at event.Time, known bool, outcome Outcome) {
	e := r.episode
	e.Outcome = outcome
	if outcome != OutcomeOpen {
		e.End, e.EndKnown = e.Last, known
		if known {
			e.End = max(at, e.Last)
		}
	}
	e.judge()
	lost, exact := e.TimeLost(at)
	r.Episodes++
	r.EpisodeTime += lost
	r.EpisodeTimeAtLeast = r.EpisodeTimeAtLeast || !exact
	if e.Spurious() {
		r.SpuriousEpisodes++
	}
	t.change = Change{Kind: Episode, Time: max(at, e.Last), Conn: &r.Connection, Episode: &e.LossEpisode}
	t.emit(&t.change)
	t.dropEpisode(r)
}

// advanceEpisode ends r's episode where r's step from old says that the peer
// has all that we sent.
func (t *Tracker) advanceEpisode(r *record, old tcp.State, at event.Time, known bool) {
	acknowledged := false
	switch old {
	case tcp.SynSent:
		acknowledged = r.State != tcp.Close && r.State != tcp.SynRecv
	case tcp.SynRecv:
		acknowledged = r.State != tcp.Close
	case tcp.FinWait1:
		acknowledged = r.State == tcp.FinWait2 || r.State == tcp.TimeWait
	case tcp.Closing:
		acknowledged = r.State == tcp.TimeWait
	}
	if acknowledged {
		t.endEpisode(r, at, known, OutcomeRecovered)
	}
}

// closeEpisode ends r's episode with r, or with the trace.
func (t *Tracker) closeEpisode(r *record, at event.Time) {
	switch {
	case r.Closed == 0:
		t.endEpisode(r, at, false, OutcomeOpen)
	case r.End == EndUnknown:
		t.endEpisode(r, at, false, OutcomeUnknown)
	case r.End == EndFIN || r.End == EndFinWait2Timeout || r.End == EndOverflow:
		t.endEpisode(r, at, true, OutcomeRecovered)
	default:
		t.endEpisode(r, at, true, OutcomeFailed)
	}
}

// dropEpisode forgets r's episode. It remains readable until the next begins.
func (t *Tracker) dropEpisode(r *record) {
	e := r.episode
	t.episodes.quiet.remove(e)
	t.episodes.open--
	r.episode = nil
	e.record, e.next = nil, t.episodes.free
	t.episodes.free = e
}

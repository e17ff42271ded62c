package conn

import (
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// inlineSpans is the number of spans that a record has room for in itself: the
// life of a client that closes first.
const inlineSpans = 5

// A record is a Connection and what the tracker alone needs to know of it. The
// order of the fields is for the cache: Handle reads the first ones each time. A
// field that outlives an event belongs into nap too, or into record.restful.
type record struct {
	place  int32  // in seating.awake
	losses uint32 // the loss windows up to this number have been considered

	fresh   bool // it was met since the hand last came by: see seating.doze
	dead    bool // Ended has been emitted
	named   bool // cookie and both addresses are known
	byTuple bool // it is indexed by its addresses: the cookie is not known
	held    bool // its first transition has not been emitted
	mini    bool // it is a timewait socket now; the full socket's CLOSE says nothing
	adopted bool // its first event was not its birth
	reborn  bool // it began while the life before it, of the same cookie, had not ended

	unwanted  bool // see Forget
	seen      bool // by the sweep that is under way
	listening bool // it is counted as a listener
	idle      bool // as a sweep found last

	resetSent     bool
	resetReceived bool
	paired        bool // it is found by its addresses

	resetSince event.Time // before when its first RST was not sent; 0: it has sent none

	gap     gap
	doubt   *doubt   // what waits for one more event, or nil
	episode *episode // of loss, or nil
	total   uint32   // segments that the kernel says to have sent again

	Connection
	firstSpans [inlineSpans]Span // backs Connection.Spans until it grows

	missed event.Time // when a sweep first did not find it; 0: it was found
}

// whole reports whether a is an address with its port.
func whole(a netip.AddrPort) bool { return a.IsValid() && a.Port() != 0 }

// begin makes a record for the connection of ev, in state s since the time of
// ev, and makes room for it where there is none.
func (t *Tracker) begin(ev *event.Event, s tcp.State) *record {
	if t.index.live >= t.options.MaxConnections {
		t.evict(t.index.record(t.index.oldest))
	}
	r := t.index.seat()
	r.ID = ev.ID
	r.Local = ev.Local
	if whole(ev.Remote) && s != tcp.Listen {
		r.Remote = ev.Remote
	}
	r.State = s
	r.Opened, r.Since = ev.Time, ev.Time
	r.OpenedKnown, r.SinceKnown, r.Complete = true, true, true
	r.Spans = append(r.firstSpans[:0], Span{State: s, Begin: ev.Time, BeginKnown: true})
	r.losses = t.losses.first()
	t.index.insert(r)
	t.index.pair(r)
	t.stats.States[s]++
	if s == tcp.Listen && whole(r.Local) {
		r.listening = true
		t.listeners.add(r, 1)
	}
	t.markLost(r, ev.Time)
	return r
}

// adopt makes a record for a connection that is older than the trace, or
// whose begin was lost: all that is known is that it is in state s.
func (t *Tracker) adopt(ev *event.Event, s tcp.State) *record {
	r := t.begin(ev, s)
	r.gap = gap{open: true, to: s, complete: r.Complete}
	r.OpenedKnown, r.SinceKnown, r.Complete = false, false, false
	r.Spans[0].BeginKnown = false
	r.adopted = true
	switch s {
	case tcp.SynSent:
		r.Role = Client
	case tcp.SynRecv, tcp.Listen:
		r.Role = Server
	}
	if r.Role == RoleUnknown && t.listeners.have(r) {
		r.Role = Server
	}
	t.takeOrphanTotals(r, ev)
	return r
}

// meet brings r up to date with what ev says of its identity, and emits what
// waited for that. It returns nil if there is no r, or it has ended.
func (t *Tracker) meet(r *record, ev *event.Event) *record {
	if r == nil || r.dead {
		return nil
	}
	t.identify(r, ev)
	t.markLost(r, ev.Time)
	t.release(r)
	if r.doubt != nil {
		t.resolve(r.doubt, ev)
		if r.dead {
			return nil
		}
	}
	return r
}

// outlived reports whether r had ended before ev happened, so that ev says
// nothing new, and counts it then as late.
func (t *Tracker) outlived(r *record, ev *event.Event) bool {
	if r == nil || !r.dead || ev.Time > r.Closed {
		return false
	}
	t.stats.Late++
	return true
}

// identify fills in what was not known of r's identity and is known to ev.
// Ports vanish from a socket as it closes, so nothing known is replaced.
func (t *Tracker) identify(r *record, ev *event.Event) {
	if r.named {
		return
	}
	if r.byTuple {
		if ev.ID.Cookie == 0 {
			return
		}
		t.index.rename(r, ev.ID)
	}
	if !whole(r.Local) && whole(ev.Local) {
		r.Local = ev.Local
	}
	if !whole(r.Remote) && whole(ev.Remote) && !r.Listener() {
		r.Remote = ev.Remote
	}
	r.named = whole(r.Local) && whole(r.Remote)
	t.index.pair(r)
}

// spoil notes that something of r's life was not seen.
func (r *record) spoil() {
	r.Complete = false
	r.gap.complete = false
}

// enter moves r from its state into s at a time that is not before r.Since.
func (t *Tracker) enter(r *record, s tcp.State, at event.Time, known bool) {
	old := r.State
	t.stats.States[old]--
	t.stats.States[s]++
	last := &r.Spans[len(r.Spans)-1]
	last.End, last.EndUnknown = at, !known
	r.State, r.Since, r.SinceKnown = s, at, known
	if s == tcp.Close {
		return
	}
	if len(r.Spans) >= t.options.MaxSpans {
		r.SpansCut++
		r.Spans = r.Spans[:copy(r.Spans, r.Spans[1:])]
	}
	r.Spans = append(r.Spans, Span{State: s, Begin: at, BeginKnown: known})
	t.index.touch(r)
	if r.episode != nil {
		t.advanceEpisode(r, old, at, known)
	}
}

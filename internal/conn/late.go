package conn

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A gap is the last place in a life where a transition is missing. It may yet
// come: events of one connection are stamped by several CPUs.
type gap struct {
	open     bool
	complete bool      // nothing else is missing
	from, to tcp.State // from is Unknown where the begin is missing
	span     uint16    // index of to's span
	cut      uint32    // SpansCut at the time
}

// resync puts r into the state that it turned out to be in at at. The stay in
// it began some time before.
func (t *Tracker) resync(r *record, s tcp.State, at event.Time) {
	r.gap = gap{open: true, from: r.State, to: s, complete: r.Complete}
	r.Complete = false
	t.enter(r, s, at, false)
	r.gap.span, r.gap.cut = uint16(len(r.Spans)-1), uint32(r.SpansCut)
}

// fits reports whether s is the transition that is missing.
func (g *gap) fits(s step) bool {
	return g.open && g.to == s.new && (g.from == s.old || g.from == tcp.Unknown)
}

// outgrew reports whether s happened before what r has become.
func (r *record) outgrew(s step) bool {
	if s.old == r.State || s.time > r.Since {
		return false
	}
	return s.time < r.Since || r.gap.fits(s)
}

// late emits s, which r has outgrown. It does not change r's state, but may
// fill the gap.
func (t *Tracker) late(r *record, s step) {
	t.stats.Late++
	var inState time.Duration
	var known bool
	if r.gap.fits(s) {
		inState, known = r.fill(s)
	} else {
		r.spoil()
	}
	t.emitStep(r, s, inState, known)
}

// fill closes r's gap with s, and returns the time spent in s.old and whether
// that is known.
func (r *record) fill(s step) (inState time.Duration, known bool) {
	r.gap.open = false
	i := int(r.gap.span)
	if r.gap.cut != uint32(r.SpansCut) || r.Spans[i].State != s.new {
		return 0, false
	}
	span := &r.Spans[i]
	at := min(s.time, span.Begin)
	birth := false
	if i > 0 {
		before := &r.Spans[i-1]
		at = max(at, before.Begin)
		before.End, before.EndUnknown = at, false
		inState, known = at.Sub(before.Begin), before.BeginKnown
	} else {
		birth = s.old == tcp.Close || s.old == tcp.Listen
		r.Opened, r.OpenedKnown = at, birth
	}
	span.Begin, span.BeginKnown = at, true
	if i == len(r.Spans)-1 {
		r.Since, r.SinceKnown = at, true
	}
	if r.gap.complete && (i > 0 || birth) {
		r.Complete = true
	}
	return inState, known
}

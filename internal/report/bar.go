package report

import (
	"html/template"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
	"github.com/tcptrace/tcptrace/internal/timeline"
)

// maxBarMarks bounds the retransmits that are drawn of one connection.
const maxBarMarks = 24

// An extent is the stretch of time that bars are drawn against. In them a unit is
// a millisecond since its begin.
type extent struct {
	from, to event.Time
	scale    int // decimals that are drawn
}

func newExtent(from, to event.Time) extent {
	e := extent{from: from, to: max(to, from+1), scale: 3}
	for length := e.to.Sub(from); length >= 100*time.Second && e.scale > 0; length /= 10 {
		e.scale--
	}
	return e
}

func (e *extent) ms(t event.Time) float64 {
	return float64(min(max(t, e.from), e.to)-e.from) / float64(time.Millisecond)
}

func (e *extent) length() time.Duration { return e.to.Sub(e.from) }

// bar draws the states of a connection: a box for each, a long line where a RST
// was, a short one where a segment was sent again. The script zooms by changing
// what part of it is seen; the style gives each box a pixel at least.
func (e *extent) bar(r *timeline.Connection) template.HTML {
	b := []byte(`<svg class="b" viewBox="0 0 `)
	b = appendNumber(b, e.ms(e.to), e.scale)
	b = append(b, ` 12" preserveAspectRatio="none" aria-hidden="true">`...)
	until := r.Until(e.to)
	for i := range r.Spans {
		s := &r.Spans[i]
		if !s.State.Valid() || s.State == tcp.Close {
			continue
		}
		end := s.End
		if end == 0 {
			end = max(until, s.Begin)
		}
		if end < e.from {
			continue
		}
		b = e.box(b, s.State, s.Begin, end)
	}
	every := len(r.Marks)/maxBarMarks + 1
	n := 0
	for i := range r.Marks {
		m := &r.Marks[i]
		if m.Kind == conn.Retransmitted {
			if n++; n%every == 0 {
				b = e.mark(b, "t", m.Time, "0v5")
			}
			continue
		}
		b = e.mark(b, "r", m.Time, "0v12")
	}
	return template.HTML(append(b, `</svg>`...))
}

// box draws a stay: thick in a state that TCP only passes through, thin in
// TIME_WAIT, so that no colour is needed to tell them.
func (e *extent) box(b []byte, s tcp.State, begin, end event.Time) []byte {
	b = append(b, `<rect class="`...)
	b = append(b, stateClass(s)...)
	b = append(b, `" x="`...)
	b = appendNumber(b, e.ms(begin), e.scale)
	b = append(b, `" width="`...)
	b = appendNumber(b, e.ms(end)-e.ms(begin), e.scale)
	switch {
	case passing(s):
		return append(b, `" y="1" height="10"/>`...)
	case s == tcp.TimeWait:
		return append(b, `" y="5" height="2"/>`...)
	}
	return append(b, `" y="3" height="6"/>`...)
}

func (e *extent) mark(b []byte, class string, at event.Time, line string) []byte {
	b = append(b, `<path class="`...)
	b = append(b, class...)
	b = append(b, `" d="M`...)
	b = appendNumber(b, e.ms(at), e.scale)
	b = append(b, ' ')
	b = append(b, line...)
	return append(b, `"/>`...)
}

// axisTicks bounds the labels of an axis: they must not touch on a phone.
const axisTicks = 5

// axis draws the times below which bars lie. Its places are shares of its width,
// so that its letters keep their shape whatever that is.
func (e *extent) axis() template.HTML {
	b := []byte(`<svg class="axis" width="100%" height="20" aria-hidden="true">`)
	for _, at := range timeTicks(e.length(), axisTicks) {
		share := float64(at) / float64(e.length()) * 100
		class := ""
		if share > 94 {
			class = ` class="last"`
		} else if at == 0 {
			class = ` class="first"`
		}
		x := appendNumber(nil, share, 2)
		b = append(b, `<line x1="`...)
		b = append(append(b, x...), `%" x2="`...)
		b = append(append(b, x...), `%" y1="14" y2="20"/><text`...)
		b = append(append(b, class...), ` x="`...)
		b = append(append(b, x...), `%" y="11">`...)
		b = append(append(b, tickLabel(at)...), `</text>`...)
	}
	return template.HTML(append(b, `</svg>`...))
}

package timeline

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A Glyph says what stands in a cell.
type Glyph uint8

const (
	Blank   Glyph = iota
	Letter        // the first cell of a stay in State
	Fill          // a further one
	Earlier       // the stay that begins here, or the row, began earlier: nobody knows when, or before the axis
	Later         // still open
	Resent        // a retransmit, in State
	Reset         // a RST, in State
)

// A Cell is one column of a bar.
type Cell struct {
	Glyph Glyph
	State tcp.State // Unknown for Blank, Earlier and Later outside of a stay
}

// bar returns r's cells: one for each of the axis, and one more on either side
// for what reaches beyond it.
func (c *Chart) bar(r *Connection) []Cell {
	cells := make([]Cell, c.Cells+2)
	p := c.paint(r)
	first, last := p.ends()
	if first < 0 {
		return cells
	}
	marked := c.marks(r, first, last)
	lettered := -1 // the span whose letter has been drawn
	for i := first; i <= last; i++ {
		span := p.span[i]
		if span < 0 {
			continue
		}
		cell := &cells[i+1]
		cell.State = r.Spans[span].State
		begins := i == first || p.span[i-1] != span
		switch {
		case marked[i] != Blank:
			cell.Glyph = marked[i]
		case begins && i > first && i < last && p.span[i+1] == span && gap(r, p.span[i-1], span):
			cell.Glyph = Earlier
		case lettered != span || begins && marked[i] == Blank:
			cell.Glyph, lettered = Letter, span
		default:
			cell.Glyph = Fill
		}
	}
	if !r.Spans[0].BeginKnown || r.SpansCut > 0 || r.Begin() < c.From {
		cells[first].Glyph = Earlier
	}
	if r.IsOpen() {
		cells[last+2].Glyph = Later
	}
	return cells
}

// gap reports whether something is missing between two spans, so that nobody
// knows when the second really began.
func gap(r *Connection, from, to int) bool {
	for n := from + 1; n <= to; n++ {
		if !r.Spans[n].BeginKnown {
			return true
		}
	}
	return false
}

// A painting says for each cell of the axis which span of a connection has it,
// -1 for none.
type painting struct {
	span  []int
	cover []time.Duration
	slow  []bool
}

// paint gives each cell to the state that covers most of it. But a state that
// TCP only passes through, and in which it stayed for Slow or longer, goes
// before all that are in order.
func (c *Chart) paint(r *Connection) painting {
	p := painting{make([]int, c.Cells), make([]time.Duration, c.Cells), make([]bool, c.Cells)}
	for i := range p.span {
		p.span[i] = -1
	}
	until := r.Until(c.To)
	for n := range r.Spans {
		s := &r.Spans[n]
		end := spanEnd(s, until)
		if !s.State.Valid() || s.State == tcp.Close || end < c.From || s.Begin > c.To {
			continue
		}
		slow := passing(s.State) && end.Sub(s.Begin) >= Slow
		for i := c.cell(s.Begin); i <= c.cell(max(s.Begin, end-1)); i++ {
			cover := min(end, c.edge(i+1)).Sub(max(s.Begin, c.edge(i)))
			if p.span[i] < 0 || slow && !p.slow[i] || slow == p.slow[i] && cover >= p.cover[i] {
				p.span[i], p.cover[i], p.slow[i] = n, cover, slow
			}
		}
	}
	return p
}

// ends returns the first and the last cell that is painted, -1 if there is none.
func (p *painting) ends() (first, last int) {
	first, last = -1, -1
	for i, s := range p.span {
		if s < 0 {
			continue
		}
		if first < 0 {
			first = i
		}
		last = i
	}
	return first, last
}

// marks returns what happened in each cell of a bar. A reset goes before
// retransmits, and neither lies outside of the bar: the RST that follows a
// close() is a few microseconds younger than it.
func (c *Chart) marks(r *Connection, first, last int) []Glyph {
	marked := make([]Glyph, c.Cells)
	for i := range r.Marks {
		m := &r.Marks[i]
		if m.Time < c.From || m.Time > c.To+event.Time(Slow) {
			continue
		}
		at := min(max(c.cell(m.Time), first), last)
		if m.Kind == conn.Retransmitted {
			marked[at] = max(marked[at], Resent)
		} else {
			marked[at] = Reset
		}
	}
	return marked
}

// cell returns the cell of the axis in which t lies, or the one nearest to it.
func (c *Chart) cell(t event.Time) int {
	if t <= c.From {
		return 0
	}
	if t >= c.To {
		return c.Cells - 1
	}
	i := int(float64(t-c.From) / float64(c.To-c.From) * float64(c.Cells))
	for i < c.Cells-1 && c.edge(i+1) <= t { // float64 is not exact, edges are
		i++
	}
	for i > 0 && c.edge(i) > t {
		i--
	}
	return min(i, c.Cells-1)
}

// edge returns when the cell i begins.
func (c *Chart) edge(i int) event.Time {
	length := int64(c.To - c.From)
	n := int64(c.Cells)
	return c.From + event.Time(length/n*int64(i)+length%n*int64(i)/n)
}

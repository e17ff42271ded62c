package timeline

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Whatever happened when, a bar is as wide as the axis and a cell more on
// either side; what lives on the axis can be seen; states come in order; each
// begins with its letter, unless a mark stands there.
func TestBar_AnyLife(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 20_011 {
		r := randomLife(random)
		c := &Chart{From: event.Time(random.Int64N(1 << 40)), Cells: 1 + random.IntN(150)}
		c.To = c.From + 1 + event.Time(random.Int64N(1<<uint(1+random.IntN(45))))
		cells := c.bar(r)
		if len(cells) != c.Cells+2 {
			t.Fatalf("%d cells, want %d", len(cells), c.Cells+2)
		}
		on := r.Begin() <= c.To && r.Until(c.To) >= c.From
		first, last := -1, -1
		for i, cell := range cells[1 : c.Cells+1] {
			if cell.State == tcp.Unknown {
				continue
			}
			if first < 0 {
				first = i
			}
			last = i
		}
		if on != (first >= 0) {
			t.Fatalf("drawn: %v, on the axis: %v", first >= 0, on)
		}
		if !on {
			continue
		}
		if cells[last+2].Glyph != Later && r.IsOpen() {
			t.Fatal("it is open, and that is not shown")
		}
		checkCells(t, r, cells[first+1:last+2])
	}
}

func checkCells(t *testing.T, r *Connection, cells []Cell) {
	t.Helper()
	at := 0
	for i, cell := range cells {
		if cell.State == tcp.Unknown {
			t.Fatal("a hole")
		}
		for r.Spans[at].State != cell.State {
			if at++; at == len(r.Spans) {
				t.Fatalf("%v comes too late", cell.State)
			}
		}
		if cell.Glyph == Fill && (i == 0 || cells[i-1].State != cell.State) {
			t.Fatal("a state begins without its letter")
		}
	}
}

// randomLife goes through the states in an order in which each comes once.
func randomLife(random *rand.Rand) *Connection {
	order := []tcp.State{tcp.SynSent, tcp.Established, tcp.FinWait1, tcp.FinWait2, tcp.Closing, tcp.TimeWait, tcp.CloseWait, tcp.LastAck}
	r := &Connection{}
	at := event.Time(random.Int64N(1 << 40))
	r.Opened = at
	for _, s := range order[:1+random.IntN(len(order))] {
		span := conn.Span{State: s, Begin: at, BeginKnown: random.IntN(8) > 0}
		at += event.Time(random.Int64N(1 << uint(random.IntN(42))))
		span.End = at
		r.Spans = append(r.Spans, span)
		if random.IntN(3) == 0 {
			kinds := []conn.ChangeKind{conn.Retransmitted, conn.ResetSent, conn.ResetReceived}
			r.Marks = append(r.Marks, Mark{Time: at, Kind: kinds[random.IntN(3)]})
		}
	}
	last := &r.Spans[len(r.Spans)-1]
	r.State, r.Since = last.State, last.Begin
	if random.IntN(2) == 0 {
		last.End = 0
	} else {
		r.State, r.Closed, r.Since, r.over = tcp.Close, at, at, true
	}
	return r
}

// Each instant of the axis lies in the cell whose edges it lies between.
func TestChart_Cell(t *testing.T) {
	for _, length := range []time.Duration{37, 1000, time.Second + 1, 10 * time.Hour, 400 * 24 * time.Hour} {
		c := &Chart{From: 12345, To: event.Time(12345).Add(length), Cells: 37}
		for i := range int64(1000) {
			at := c.From + event.Time(int64(length)/1000*i+int64(length)%1000*i/1000)
			n := c.cell(at)
			if n < 0 || n >= c.Cells || at < c.edge(n) || at >= c.edge(n+1) {
				t.Fatalf("of %v, %d is in cell %d, from %d to %d", length, at, n, c.edge(n), c.edge(n+1))
			}
		}
	}
}

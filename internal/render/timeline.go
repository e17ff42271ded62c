package render

import (
	"net/netip"
	"strconv"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/tcp"
	"github.com/tcptrace/tcptrace/internal/timeline"
)

// A Timeline writes charts. Used for one after the other it keeps the columns
// where they are, as far as it can.
type Timeline struct {
	Options
	Width  int  // columns of a line: 80 or more
	Height int  // lines of the terminal; 0: no limit
	ASCII  bool // nothing but ASCII

	widths timelineWidths // the widest so far
}

// Least widths of what stands beside the bars, and of the bars.
const (
	leastWidth  = 60
	leastCells  = 16
	shortWidth  = 100 // below it, ends have short names
	longWidth   = 140 // from here on, labels have the local address too
	titledWidth = 40  // of a process's name
)

// letters stand for the states in a bar.
var letters = [tcp.NumStates]byte{
	tcp.SynSent: 'S', tcp.SynRecv: 'R', tcp.Established: 'E', tcp.FinWait1: '1', tcp.FinWait2: '2',
	tcp.Closing: 'X', tcp.TimeWait: 'T', tcp.CloseWait: 'C', tcp.LastAck: 'L',
}

// fill returns the text of a cell that goes on with s, which has one column. A
// double line is for the states that need somebody to act. All of it is in the
// character set of the plainest console.
func (t *Timeline) fill(s tcp.State) string {
	switch {
	case s == tcp.TimeWait && t.ASCII:
		return "."
	case s == tcp.TimeWait:
		return "·"
	case s == tcp.Established && t.ASCII:
		return "-"
	case s == tcp.Established:
		return "─"
	case t.ASCII:
		return "="
	}
	return "═"
}

// Frame returns how many lines a live chart has beside those of its View.Height.
func (t *Timeline) Frame() int { return len(t.legend()) + 3 } // title, axis, footer

// Append appends a whole chart, whose bars it has drawn, and returns the
// extended buffer. Each line ends in a newline.
func (t *Timeline) Append(b []byte, c *timeline.Chart) []byte {
	l := line{b: b, color: t.Color}
	w := t.measure(c)
	c.Draw(w.cells)
	l.title(t, c)
	if c.Live || len(c.Processes) > 0 {
		for _, keys := range t.legend() {
			l.legend(keys)
		}
	}
	if c.Live {
		l.axis(&w, c)
	}
	axis := c.Live
	for _, p := range c.Processes {
		if !c.Live && (p.Table || !axis) {
			l.text("\n")
			axis = false
		}
		l.heading(p)
		if p.Table {
			l.table(&w, p)
		}
		if !axis && len(p.Rows) > 0 {
			l.axis(&w, c)
			axis = true
		}
		for i := range p.Rows {
			l.row(t, &w, &p.Rows[i])
		}
	}
	l.footer(c)
	return l.b
}

// label names a connection in short: the local port, the direction in which it
// was opened, and the remote end.
func label(b []byte, c *timeline.Connection, long bool) []byte {
	arrow := "--"
	switch c.Role {
	case conn.Client:
		arrow = "->"
	case conn.Server:
		arrow = "<-"
	}
	l := line{b: b}
	if long {
		l.endpoint(c.Local)
	} else {
		l.b = append(l.b, ':')
		l.port(c.Local)
	}
	l.text(arrow)
	l.endpoint(c.Remote)
	return l.b
}

func (l *line) port(e netip.AddrPort) {
	if e.Port() == 0 {
		l.text("-")
		return
	}
	l.b = strconv.AppendUint(l.b, uint64(e.Port()), 10)
}

// ending writes in a few columns how a connection ended, or what it is in now.
func ending(b []byte, r *timeline.Row, short bool) []byte {
	l := line{b: b}
	switch {
	case !r.Conn.IsOpen() && short:
		l.text(orDash(shortEnds[r.Conn.End]))
	case !r.Conn.IsOpen():
		l.text(orDash(r.Conn.End.String()))
	default:
		l.text("open")
		if now := r.Current; now.State != r.Longest.State && now.State.Valid() && letters[now.State] != 0 {
			l.text(" ")
			l.b = append(l.b, letters[now.State], ' ')
			l.b = appendBound(l.b, now.For, now.Bound)
		}
	}
	return l.b
}

// shortEnds are the words of conn.End that are too long for 80 columns.
var shortEnds = func() map[conn.End]string {
	m := map[conn.End]string{}
	for e := conn.EndUnknown; e <= conn.EndUnsent; e++ {
		m[e] = e.String()
	}
	m[conn.EndResetSent], m[conn.EndResetReceived] = "rst sent", "rst recv"
	m[conn.EndUnreachable], m[conn.EndFinWait2Timeout] = "unreach", "fin2 tmo"
	m[conn.EndOverflow], m[conn.EndAbandoned] = "overflow", "abandon"
	return m
}()

// timelineWidths are those of the columns of a row.
type timelineWidths struct {
	width, label, longest, life, end int // width is that of the whole line
	cells                            int // of the axis; a bar has two more
}

// measure lays out the columns: the text takes what it needs, the bars the
// rest.
func (t *Timeline) measure(c *timeline.Chart) timelineWidths {
	width := max(t.Width, leastWidth)
	w := timelineWidths{width: width, label: len("CONNECTION"), longest: len("LONGEST"), life: len("LIFE"), end: len("END")}
	if c.Live && t.widths.width == width {
		w = t.widths
	}
	var buf [128]byte
	for _, p := range c.Processes {
		for i := range p.Rows {
			r := &p.Rows[i]
			w.label = max(w.label, len(label(buf[:0], r.Conn, width >= longWidth)))
			w.longest = max(w.longest, len("E ")+len(appendBound(buf[:0], r.Longest.For, r.Longest.Bound)))
			w.life = max(w.life, len(appendAtLeast(buf[:0], r.Life, r.LifeKnown)))
			w.end = max(w.end, len(ending(buf[:0], r, width < shortWidth)))
		}
	}
	others := w.longest + w.life + w.end + len(" ") + len(" ") + 2 + len(" ") + len(" ") + len("  ")
	w.label = min(w.label, width*2/5, max(width-others-leastCells, len("CONNECTION")))
	w.cells = max(width-others-w.label, leastCells)
	t.widths = w
	return w
}

package render

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/tcp"
	"github.com/tcptrace/tcptrace/internal/timeline"
)

const bold = "1"

// title says what the chart is of.
func (l *line) title(t *Timeline, c *timeline.Chart) {
	l.count(c.Connections, "connection")
	l.text(" of ")
	l.count(len(c.Processes)+c.ProcessesLeft, "process")
	l.text(", ")
	l.int(c.Open)
	l.text(" open; ")
	l.time(&t.Options, c.From)
	l.text(" to ")
	l.time(&t.Options, c.To)
	if c.Totals.Lost > 0 {
		l.text("  ")
		l.paint(alarm, strconv.FormatUint(c.Totals.Lost, 10)+" events LOST")
	}
	l.text("\n")
}

func (l *line) int(n int) { l.b = strconv.AppendInt(l.b, int64(n), 10) }

// count writes a number of things.
func (l *line) count(n int, thing string) {
	l.int(n)
	l.text(" ")
	l.text(thing)
	switch {
	case n == 1:
	case strings.HasSuffix(thing, "s"):
		l.text("es")
	default:
		l.text("s")
	}
}

// A key explains one sign of a bar.
type legendKey struct {
	sign, text, color string
}

// legend returns the explanation of all signs, in lines as wide as the chart.
func (t *Timeline) legend() [][]legendKey {
	if t.Height > 0 && t.Height < 16 {
		return nil
	}
	var keys []legendKey
	for _, s := range tcp.States() {
		if letters[s] != 0 {
			keys = append(keys, legendKey{string(letters[s]), s.String(), cellColor(s)})
		}
	}
	keys = append(keys,
		legendKey{"*", "retransmit", alarm},
		legendKey{"!", "RST", alarm},
		legendKey{"<", "began earlier", ""},
		legendKey{">", "still open", ""},
	)
	var lines [][]legendKey
	used := 0
	for _, k := range keys {
		n := len(k.sign) + 1 + len(k.text) + 2
		if used == 0 || used+n-2 > max(t.Width, leastWidth) {
			lines = append(lines, nil)
			used = 0
		}
		lines[len(lines)-1] = append(lines[len(lines)-1], k)
		used += n
	}
	return lines
}

func (l *line) legend(keys []legendKey) {
	for i, k := range keys {
		if i > 0 {
			l.text("  ")
		}
		l.paint(k.color, k.sign)
		l.text(" ")
		l.text(k.text)
	}
	l.text("\n")
}

// cellColor returns the colour of a state in a bar, a bright one where
// somebody has to act.
func cellColor(s tcp.State) string {
	if s == tcp.Established || s == tcp.TimeWait {
		return colors[s]
	}
	return bold + ";" + colors[s]
}

// heading names a process and counts its connections.
func (l *line) heading(p *timeline.Process) {
	name := line{color: false}
	name.process(&p.Owner.Task, titledWidth)
	if !p.Owner.Known() {
		name.b = append(name.b[:0], "process not known"...)
	}
	l.paint(bold, string(name.b))
	for _, role := range []struct {
		word string
		n    int
	}{{"server", p.Servers}, {"client", p.Clients}, {"role not known", p.Others}} {
		if role.n > 0 {
			l.text("  ")
			l.text(role.word)
			l.text(" ")
			l.int(role.n)
		}
	}
	l.text("  open ")
	l.int(p.Open)
	if n := len(p.Rows); n < p.Shown {
		l.text("  drawn ")
		l.int(n)
		l.text(" of ")
		l.int(p.Shown)
	}
	l.text("\n")
}

// axis writes the heads of the columns, and the ticks.
func (l *line) axis(w *timelineWidths, c *timeline.Chart) {
	l.cell()
	l.text(" CONNECTION")
	l.pad(1 + w.label)
	scale := []byte(strings.Repeat(" ", w.cells+2))
	for _, t := range c.Ticks {
		text := "|" + t.Label
		if t.Label == "now" {
			text = t.Label
		}
		copy(scale[1+t.Cell:1+w.cells], text)
	}
	l.b = append(l.b, scale...)
	l.text(" LONGEST")
	for n := len("LONGEST"); n < w.longest; n++ {
		l.text(" ")
	}
	l.text(" ")
	l.flush("LIFE", w.life)
	l.text("  END\n")
}

// name writes which connection c is, in at most width columns; it is the end
// of the name, with the remote port, that stays.
func (l *line) name(c *timeline.Connection, long bool, width int) {
	var buf [128]byte
	name := label(buf[:0], c, long)
	if over := len(name) - width; over > 0 {
		name = name[over:]
		name[0] = '~'
	}
	l.b = append(l.b, name...)
}

// row writes one connection.
func (l *line) row(t *Timeline, w *timelineWidths, r *timeline.Row) {
	var buf [64]byte
	l.text(" ")
	l.cell()
	l.name(r.Conn, w.width >= longWidth, w.label)
	l.pad(w.label)
	l.bar(t, r.Bar)
	l.text(" ")
	if s := r.Longest.State; s.Valid() && letters[s] != 0 {
		l.paint(cellColor(s), string(letters[s]))
	} else {
		l.text("-")
	}
	l.rightBound(r.Longest.For, r.Longest.Bound, w.longest-1)
	l.text(" ")
	l.right(r.Life, r.LifeKnown, w.life)
	l.text("  ")
	end := string(ending(buf[:0], r, w.width < shortWidth))
	if r.Conn.IsOpen() || r.Conn.End == conn.EndFIN || r.Conn.End == conn.EndUnknown {
		l.text(end)
	} else {
		l.paint(alarm, end)
	}
	l.text("\n")
}

// bar writes the cells of a row, those of one colour together.
func (l *line) bar(t *Timeline, cells []timeline.Cell) {
	for len(cells) > 0 {
		color := glyphColor(cells[0])
		n := 0
		var text []byte
		for n < len(cells) && glyphColor(cells[n]) == color {
			text = t.appendCell(text, cells[n])
			n++
		}
		l.paint(color, string(text))
		cells = cells[n:]
	}
	l.cell()
}

func glyphColor(c timeline.Cell) string {
	switch c.Glyph {
	case timeline.Letter, timeline.Fill:
		return cellColor(c.State)
	case timeline.Resent, timeline.Reset:
		return alarm
	}
	return ""
}

func (t *Timeline) appendCell(b []byte, c timeline.Cell) []byte {
	switch c.Glyph {
	case timeline.Letter:
		return append(b, letters[c.State])
	case timeline.Fill:
		return append(b, t.fill(c.State)...)
	case timeline.Earlier:
		return append(b, '<')
	case timeline.Later:
		return append(b, '>')
	case timeline.Resent:
		return append(b, '*')
	case timeline.Reset:
		return append(b, '!')
	}
	return append(b, ' ')
}

func (l *line) footer(c *timeline.Chart) {
	var notes []string
	add := func(n int, thing, what string) {
		if n > 0 {
			x := line{}
			x.count(n, thing)
			notes = append(notes, string(x.b)+" "+what)
		}
	}
	if c.Connections == 0 && c.Totals.Lost == 0 {
		notes = append(notes, "no connection yet")
		if !c.Live {
			notes = []string{"no connection was seen"}
		}
	}
	if add(c.RowsLeft, "row", "left out"); c.RowsLeft > 0 && !c.Live {
		notes[len(notes)-1] += " (--rows N draws more)"
	}
	add(c.ProcessesLeft, "process", "left out")
	add(int(c.Totals.Dropped), "connection", "no longer kept")
	add(int(c.Totals.Forgotten), "process", "no longer kept")
	add(int(c.Totals.Refused), "change", "of connections for which there was no room")
	if c.Live {
		notes = slices.Insert(notes, 0, "q quits")
	}
	if len(notes) > 0 {
		l.text(strings.Join(notes, "; "))
		l.text("\n")
	}
}

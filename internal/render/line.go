package render

import (
	"net/netip"
	"strconv"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A line appends one line of columns to a buffer. It counts the columns that
// a terminal shows, which are fewer than the bytes where there is colour.
type line struct {
	b     []byte
	begin int // len(b) at the begin of the cell
	extra int // bytes in the cell that take no column
	color bool
}

func (l *line) cell() { l.begin, l.extra = len(l.b), 0 }

func (l *line) width() int { return len(l.b) - l.begin - l.extra }

// pad ends the cell, which is width columns wide at least, and the gap behind it.
func (l *line) pad(width int) {
	l.blank(max(width-l.width(), 0) + 1)
	l.cell()
}

const blanks = "                                " // more than a column has, as a rule

// blank appends n spaces, if n is positive.
func (l *line) blank(n int) {
	for ; n > len(blanks); n -= len(blanks) {
		l.text(blanks)
	}
	l.text(blanks[:max(n, 0)])
}

func (l *line) text(s string) { l.b = append(l.b, s...) }

// paint appends s in a colour, an SGR parameter such as "31", or "" for none.
func (l *line) paint(color, s string) {
	if !l.color || color == "" {
		l.text(s)
		return
	}
	l.b = append(l.b, "\x1b["...)
	l.text(color)
	l.b = append(l.b, 'm')
	l.text(s)
	l.b = append(l.b, "\x1b[0m"...)
	l.extra += len("\x1b[m\x1b[0m") + len(color)
}

// colors of the states: green where all is well, cool while opening or
// closing by itself, warm where somebody has to act.
var colors = [tcp.NumStates]string{
	tcp.Established: "32",
	tcp.SynSent:     "36",
	tcp.SynRecv:     "36",
	tcp.FinWait1:    "34",
	tcp.FinWait2:    "34",
	tcp.TimeWait:    "35",
	tcp.CloseWait:   "33",
	tcp.LastAck:     "33",
	tcp.Closing:     "33",
	tcp.Close:       "90",
	tcp.Listen:      "1",
}

const alarm = "31" // resets, losses, the impossible

func (l *line) state(s tcp.State) {
	if !s.Valid() {
		l.text("?")
		return
	}
	l.paint(colors[s], s.String())
}

// process writes comm/pid in at most width columns; it is the name that is
// cut, never the number.
func (l *line) process(t *event.Task, width int) {
	if !t.Known() {
		l.text("-")
		return
	}
	var digits [10]byte
	pid := strconv.AppendUint(digits[:0], uint64(t.PID), 10)
	if name := comm(&t.Comm); len(name) > 0 {
		start := len(l.b)
		var shown int
		l.b, shown = appendSafe(l.b, name, width-1-len(pid))
		l.extra += len(l.b) - start - shown
		l.b = append(l.b, '/')
	}
	l.b = append(l.b, pid...)
}

// endpoint writes an address and port, and "-" for what is not known.
func (l *line) endpoint(e netip.AddrPort) {
	addr := e.Addr().Unmap()
	switch {
	case !addr.IsValid():
		l.text("-")
	case e.Port() != 0:
		l.b = netip.AddrPortFrom(addr, e.Port()).AppendTo(l.b)
	case addr.Is4():
		l.b = append(addr.AppendTo(l.b), ":-"...)
	default:
		l.b = append(addr.AppendTo(append(l.b, '[')), "]:-"...)
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

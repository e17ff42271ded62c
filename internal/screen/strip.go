package screen

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Least widths of what is drawn of a state, and of the screen for it.
const (
	stripCell   = 38
	stripGap    = 2
	stripHeight = 20 // of the screen: below it, and narrower than two cells, it is short
)

// shortNames are those of the short strip.
var shortNames = [tcp.NumStates]string{
	tcp.Listen: "LISTEN", tcp.SynSent: "SYN_S", tcp.SynRecv: "SYN_R", tcp.Established: "ESTAB", tcp.FinWait1: "FIN1",
	tcp.FinWait2: "FIN2", tcp.Closing: "CLOSING", tcp.TimeWait: "TIME_W", tcp.CloseWait: "CLOSE_W", tcp.LastAck: "LASTACK",
	tcp.Close: "CLOSE",
}

// strip draws the eleven states.
func (d *Display) strip(v *View, short bool) []string {
	n := (d.width + stripGap) / (stripCell + stripGap)
	if short || n < 2 {
		return d.shortStrip(v)
	}
	n = min(n, 6)
	rows := (len(v.States) + n - 1) / n
	n = (len(v.States) + rows - 1) / rows
	width := (d.width - (n-1)*stripGap) / n
	lines := make([]string, rows)
	for i := range v.States {
		c := &v.States[i]
		text := d.state(c, width)
		if i/rows > 0 {
			text = strings.Repeat(" ", stripGap) + text
		}
		lines[i%rows] += text
	}
	return lines
}

// state draws one: its name, how many are in it, the change in the last minute,
// and that minute.
func (d *Display) state(c *StateCount, width int) string {
	now, change := number(uint64(max(c.Now, 0)), 7), ""
	if c.State == tcp.Close { // which no socket that is seen is in
		now = rateText(float64(c.PerSecond)) + "/s"
	} else if c.Known && c.Change != 0 {
		change = fmt.Sprintf("%+d", c.Change)
		if len(change) > 6 {
			change = change[:1] + number(uint64(max(c.Change, -c.Change)), 5)
		}
	}
	text := fit(c.State.String(), 11) + right(now, 8)
	quiet := c.Now == 0 && c.State != tcp.Close
	if quiet {
		text = paint(faint, text)
	} else {
		text = paint(stateStyles[c.State], text)
	}
	text += paint(faint, right(change, 7))
	used := 11 + 8 + 7 + 1
	if width >= 60 {
		text += paint(faint, right(rateText(float64(c.PerSecond))+"/s in", 11))
		used += 11
	}
	text += " " + paint(stateStyles[c.State], spark(c.Past, min(width-used, historySeconds), d.options.ASCII))
	return fit(text, width)
}

// shortStrip draws those that some socket is in, in as many lines as it takes,
// two at most.
func (d *Display) shortStrip(v *View) []string {
	var lines []string
	line, used := "", 0
	for i := range v.States {
		c := &v.States[i]
		text := strconv.Itoa(c.Now)
		switch {
		case c.State == tcp.Close && c.PerSecond > 0:
			text = perSecond(float64(c.PerSecond)) + "/s"
		case c.Now == 0:
			continue
		}
		part := shortNames[c.State] + " " + text
		if used > 0 && used+2+len(part) > d.width {
			lines = append(lines, line)
			line, used = "", 0
		}
		if used > 0 {
			line += "  "
			used += 2
		}
		line += paint(stateStyles[c.State], part)
		used += len(part)
	}
	if used > 0 || len(lines) == 0 {
		if used == 0 {
			line = "no socket"
		}
		lines = append(lines, line)
	}
	return lines[:min(len(lines), 2)]
}

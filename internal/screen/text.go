package screen

import (
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/render"
)

// columns returns how many columns s takes. Nearly all that is drawn is ASCII, the
// bars of the strip, and styles: of these it is known without a table.
func columns(s string) (n int) {
	for i := 0; i < len(s); {
		size, wide := glyph(s[i:])
		if size == 0 {
			return ansi.StringWidth(s)
		}
		i += size
		n += wide
	}
	return n
}

// glyph returns how many bytes the first thing in s has, and how many columns; 0 where
// that takes a table.
func glyph(s string) (size, wide int) {
	switch {
	case isText(s[0]):
		return 1, 1
	case len(s) >= 3 && s[:2] == "\xe2\x96" && s[2] >= 0x80 && s[2] <= 0x9f: // U+2580 to U+259F
		return 3, 1
	case len(s) < 3 || s[:2] != "\x1b[":
		return 0, 0
	}
	i := 2
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == ';') {
		i++
	}
	if i == len(s) || s[i] != 'm' { // no style
		return 0, 0
	}
	return i + 1, 0
}

// isText reports whether c is ASCII that takes one column.
func isText(c byte) bool { return c >= ' ' && c < 0x7f }

// fit makes s just width columns wide. What is cut has a "~" in its place.
func fit(s string, width int) string {
	n := columns(s)
	switch {
	case n > width:
		return cut(s, width)
	case n < width:
		return s + spaces(width-n)
	}
	return s
}

func spaces(n int) string {
	const some = "                                                                                "
	if n <= len(some) {
		return some[:n]
	}
	return strings.Repeat(" ", n)
}

// cut makes s at most width columns wide.
func cut(s string, width int) string {
	if width <= 0 {
		return ""
	}
	for i := range len(s) {
		if !isText(s[i]) {
			return ansi.Truncate(s, width, "~")
		}
	}
	if len(s) <= width {
		return s
	}
	return s[:width-1] + "~"
}

// cutLeft cuts the begin of s, which has no escapes: of an address, the port is
// what tells.
func cutLeft(s string, width int) string {
	n := len(s)
	if n <= width || width <= 0 {
		return s
	}
	return "~" + s[n-width+1:]
}

// lastColumns cuts the begin of s, which has no escapes, so that it has at most
// width columns.
func lastColumns(s string, width int) string {
	if over := columns(s) - max(width, 1); over > 0 {
		return ansi.TruncateLeft(s, over+1, "~")
	}
	return s
}

// right puts s at the right end of width columns.
func right(s string, width int) string {
	if n := columns(s); n < width {
		return spaces(width-n) + s
	}
	return cut(s, width)
}

// number spells n in at most width columns: 1,234, or 12.3k where that is too
// long.
func number(n uint64, width int) string {
	s := render.Count(n)
	if len(s) <= width {
		return s
	}
	f := float64(n)
	for _, unit := range []string{"k", "M", "G", "T"} {
		f /= 1000
		if f < 1000 {
			if f < 100 {
				return strconv.FormatFloat(f, 'f', 1, 64) + unit
			}
			return strconv.FormatFloat(f, 'f', 0, 64) + unit
		}
	}
	return s
}

// some spells n, and nothing where it is 0.
func some(n uint64, width int) string {
	if n == 0 {
		return "-"
	}
	return number(n, width)
}

// known spells n where it is known.
func known(n uint64, is bool, width int) string {
	if !is {
		return "-"
	}
	return number(n, width)
}

// perSecond spells a rate.
func perSecond(r float64) string {
	switch {
	case r < 0.05:
		return "-"
	case r < 10:
		return strconv.FormatFloat(r, 'f', 1, 64)
	}
	return number(uint64(r+0.5), 6)
}

// rateText spells a rate in a sentence.
func rateText(r float64) string {
	if s := perSecond(r); s != "-" {
		return s
	}
	return "0"
}

// several spells a number of things.
func several(n uint64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return render.Count(n) + " " + one + "s"
}

// span spells a time of which the begin may not be known.
func span(d time.Duration, known bool) string {
	s := render.Duration(max(d, 0))
	if !known {
		return ">=" + s
	}
	return s
}

// size spells a number of bytes.
func size(n uint64) string {
	switch {
	case n < 1<<20:
		return strconv.FormatUint(n>>10, 10) + "kB"
	case n < 10<<30:
		return strconv.FormatUint(n>>20, 10) + "MB"
	}
	return strconv.FormatUint(n>>30, 10) + "GB"
}

// wrap breaks text into lines of at most width columns, all but the first
// indented.
func wrap(text string, width, indent int) []string {
	var lines []string
	line, used := "", 0
	for _, word := range strings.Fields(text) {
		n := columns(word)
		if used > 0 && used+1+n > width {
			lines = append(lines, line)
			line, used = strings.Repeat(" ", indent), indent
			word = cut(word, max(width-indent, 1))
			n = columns(word)
		} else if used > 0 {
			line += " "
			used++
		}
		line += word
		used += n
	}
	return append(lines, line)
}

// readable is as wide as prose is drawn: longer lines are hard to read.
const readable = 110

// named spells a named piece of text, its lines side by side with the name.
func named(name, text string, width int) []string {
	if text == "" {
		return nil
	}
	const indent = 10
	width = min(width, readable)
	if width < 60 {
		return wrap(name+": "+text, width, 2)
	}
	lines := wrap(text, width-indent, 0)
	for i := range lines {
		head := ""
		if i == 0 {
			head = name
		}
		lines[i] = fit(head, indent) + lines[i]
	}
	return lines
}

// spark draws a minute of figures, one a second, the last at the right end, in at
// most so many cells: where a cell stands for several seconds, the greatest of
// them. The height is against the greatest of all.
func spark(past []int32, cells int, ascii bool) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	if ascii {
		levels = []rune("_.-=+*#@")
	}
	cells = max(0, min(cells, historySeconds))
	most := int32(1)
	for _, n := range past {
		most = max(most, n)
	}
	var b strings.Builder
	for i := range cells {
		from := i*historySeconds/cells - (historySeconds - len(past))
		to := (i+1)*historySeconds/cells - (historySeconds - len(past))
		if to <= 0 {
			b.WriteByte(' ')
			continue
		}
		n := int32(0)
		for _, x := range past[max(from, 0):to] {
			n = max(n, x)
		}
		at := 0
		if n > 0 {
			at = max(1, int(int64(n)*int64(len(levels)-1)/int64(most)))
		}
		b.WriteRune(levels[at])
	}
	return b.String()
}

// arrow says which way a connection was opened.
func arrow(r conn.Role) string {
	switch r {
	case conn.Client:
		return "->"
	case conn.Server:
		return "<-"
	}
	return "--"
}

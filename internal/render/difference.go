package render

import (
	"math"
	"strconv"
	"time"

	"github.com/tcptrace/tcptrace/internal/compare"
)

// differenceWidth is the least width of the columns of a comparison's figures.
const differenceWidth = 10

// AppendDifferences appends a table for each process: its figures before and
// after, and how they have changed.
func AppendDifferences(b []byte, all []compare.Difference, color bool) []byte {
	l := line{b: b, color: color}
	name := len("FIGURE")
	for i := range all {
		name = max(name, len(all[i].Figure))
	}
	for i := range all {
		d := &all[i]
		if i == 0 || d.Process != all[i-1].Process {
			l.differenceHead(d.Process, name, i > 0)
		}
		l.text("  ")
		l.cell()
		l.text(d.Figure)
		l.pad(name)
		l.flush(figure(d, d.Before), differenceWidth)
		l.text(" ")
		l.flush(figure(d, d.After), differenceWidth)
		l.text("  ")
		l.paint(changeColor(d), change(d))
		l.text("\n")
	}
	return l.b
}

func (l *line) differenceHead(process string, name int, gap bool) {
	if gap {
		l.text("\n")
	}
	if process == "" {
		process = "(process not known)"
	}
	l.text(Safe(process) + "\n  ")
	l.cell()
	l.text("FIGURE")
	l.pad(name)
	l.flush("BEFORE", differenceWidth)
	l.text(" ")
	l.flush("AFTER", differenceWidth)
	l.text("  CHANGE\n")
}

func figure(d *compare.Difference, n uint64) string {
	if d.Timed {
		return string(AppendDuration(nil, time.Duration(n)))
	}
	return group(n)
}

func change(d *compare.Difference) string {
	switch r := d.Ratio; {
	case math.IsInf(r, 1):
		return "new"
	case r == 0:
		return "gone"
	case r == 1:
		return "="
	case r >= 10:
		return "x" + strconv.FormatFloat(r, 'f', 0, 64)
	default:
		return "x" + strconv.FormatFloat(r, 'f', 2, 64)
	}
}

func changeColor(d *compare.Difference) string {
	switch {
	case !d.Notable():
		return ""
	case d.Ratio > 1:
		return "33"
	}
	return "36"
}

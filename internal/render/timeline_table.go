package render

import (
	"strconv"
	"time"

	"github.com/tcptrace/tcptrace/internal/timeline"
)

// Widths of the columns of a table.
const (
	stateWidth     = 11
	countWidth     = 7
	figureWidth    = 7
	nowWidth       = 6
	longestWidth   = 9
	tableNameWidth = 2 + stateWidth + 1 + countWidth + 3*figureWidth + nowWidth + longestWidth + 1
)

// table writes how long the connections of a process stay in each state.
func (l *line) table(w *timelineWidths, p *timeline.Process) {
	l.cell()
	l.text("  STATE")
	l.pad(stateWidth + 2)
	l.flush("COUNT", countWidth)
	l.flush("MEDIAN", figureWidth)
	l.flush("P99", figureWidth)
	l.flush("MAX", figureWidth)
	l.flush("NOW", nowWidth)
	l.flush("LONGEST", longestWidth)
	l.text("\n")
	for i := range p.States {
		l.stays(w, &p.States[i])
	}
}

func (l *line) stays(w *timelineWidths, s *timeline.StateSummary) {
	l.cell()
	l.text("  ")
	l.state(s.State)
	l.pad(stateWidth + 2)
	count := strconv.Itoa(s.Count)
	if s.Older > 0 {
		count += "+" + strconv.Itoa(s.Older)
	}
	l.flush(count, countWidth)
	for _, d := range []time.Duration{s.Median, s.P99, s.Max} {
		text := ""
		if s.Count > 0 {
			text = string(AppendDuration(nil, d))
		}
		l.flush(text, figureWidth)
	}
	if s.Now > 0 {
		l.flush(strconv.Itoa(s.Now), nowWidth)
		l.flush(string(appendAtLeast(nil, s.Longest, s.LongestKnown)), longestWidth)
		l.text(" ")
		l.name(s.LongestOf, false, w.width-tableNameWidth)
	}
	for l.b[len(l.b)-1] == ' ' {
		l.b = l.b[:len(l.b)-1]
	}
	l.text("\n")
}

// flush writes text to the right of its column.
func (l *line) flush(text string, width int) {
	for n := len(text); n < width; n++ {
		l.text(" ")
	}
	l.text(text)
	l.cell()
}

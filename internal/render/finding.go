package render

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
)

// Columns of findings.
const (
	leastFindingWidth = 40
	mostFindingWidth  = 100 // longer lines are hard to read
	findingIndent     = 12
	findingNameWidth  = 40 // of a process
)

// severityColors are SGR parameters.
var severityColors = map[diagnose.Severity]string{diagnose.Critical: "1;31", diagnose.Warning: "33", diagnose.Info: "36"}

// Findings writes findings in lines of at most Width columns.
type Findings struct {
	Options
	Width int
}

func (o *Findings) width() int { return max(leastFindingWidth, min(o.Width, mostFindingWidth)) }

// AppendLive appends a finding that has just arisen, or changed, in a line or a
// few.
func (o *Findings) AppendLive(b []byte, f *diagnose.Finding, at event.Time) []byte {
	l := line{b: b, color: o.Color}
	l.cell()
	l.time(&o.Options, at)
	l.text(" ")
	l.severity(f.Severity, f.Severity.String())
	l.text(" " + f.Rule.Name + " ")
	l.process(&f.Process.Task, findingNameWidth)
	l.text(":")
	summary := f.Summary
	if f.Withdrawn {
		summary = "now part of another finding"
	}
	l.wrap(summary, o.width(), 2)
	return l.b
}

func (l *line) severity(s diagnose.Severity, word string) { l.paint(severityColors[s], word) }

// wrap writes words behind what the line has, and breaks the line before the
// first one that does not fit; what follows is indented. It ends the line.
func (l *line) wrap(text string, width, indent int) {
	used := l.width()
	for _, word := range strings.Fields(text) {
		n := columns.StringWidth(word)
		if used > indent && used+1+n > width {
			l.text("\n")
			l.cell()
			l.b = appendSpaces(l.b, indent)
			used = indent
		} else if used > 0 && l.b[len(l.b)-1] != ' ' {
			l.text(" ")
			used++
		}
		l.text(word)
		used += n
	}
	l.text("\n")
	l.cell()
}

// A Verdict is what findings are of.
type Verdict struct {
	Connections uint64
	Lasted      time.Duration
	Lost        uint64 // events
	Unfollowed  uint64 // causes that there was no room for
}

// AppendAll appends the findings of a trace, the worst first, as they are
// ranked.
func (o *Findings) AppendAll(b []byte, all []diagnose.Finding, v Verdict) []byte {
	l := line{b: b, color: o.Color}
	l.cell()
	l.verdict(all, v)
	for i := range all {
		l.text("\n")
		l.cell()
		o.appendFinding(&l, &all[i])
	}
	if v.Lost > 0 {
		l.text("\n")
		l.cell()
		l.paint(alarm, group(v.Lost))
		l.wrap("events were lost, so counts may be too low", o.width(), 2)
	}
	if v.Unfollowed > 0 {
		l.text("\n")
		l.cell()
		l.wrap(group(v.Unfollowed)+" more causes were left out: there were too many of their rule", o.width(), 2)
	}
	return l.b
}

// verdict says in one line how it stands.
func (l *line) verdict(all []diagnose.Finding, v Verdict) {
	var n [diagnose.Critical + 1]int
	for i := range all {
		n[all[i].Severity]++
	}
	of := " in " + countOf(v.Connections, "connection") + " over " + string(AppendDuration(nil, v.Lasted))
	if len(all) == 0 {
		l.paint("32", "nothing wrong seen")
		l.text(of + "\n")
		return
	}
	if n[diagnose.Critical]+n[diagnose.Warning] == 0 {
		l.paint("32", "nothing wrong seen")
		l.text(of + "; " + strconv.Itoa(n[diagnose.Info]) + " worth knowing\n")
		return
	}
	l.text(countOf(uint64(len(all)), "finding") + of)
	sep := ": "
	for s := diagnose.Critical; s >= diagnose.Info; s-- {
		if n[s] > 0 {
			l.text(sep)
			l.severity(s, strconv.Itoa(n[s])+" "+s.String())
			sep = ", "
		}
	}
	l.text("\n")
}

func countOf(n uint64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return group(n) + " " + one + "s"
}

// group spells n with a comma at every thousand.
func group(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// appendFinding writes one finding. Of information, what is seen and why is
// enough.
func (o *Findings) appendFinding(l *line, f *diagnose.Finding) {
	l.severity(f.Severity, strings.ToUpper(f.Severity.String()))
	l.text(" " + f.Rule.Name + "  ")
	l.process(&f.Process.Task, findingNameWidth)
	l.text("\n")
	l.cell()
	entry := func(name, text string) {
		if text == "" {
			return
		}
		l.text("  " + name)
		l.b = appendSpaces(l.b, findingIndent-l.width())
		l.wrap(text, o.width(), findingIndent)
	}
	entry("what", f.Summary)
	entry("why", f.Cause)
	if f.Peer.Known() {
		l.text("  other end ")
		l.process(&f.Peer.Task, findingNameWidth)
		l.host(&f.Peer.Task)
		l.text("\n")
		l.cell()
	}
	if f.Severity == diagnose.Info {
		return
	}
	if f.Actor.Known() {
		l.text("  done by   ")
		l.process(&f.Actor.Task, findingNameWidth)
		l.host(&f.Actor.Task)
		l.text("\n")
		l.cell()
	}
	entry("evidence", evidence(f))
	o.appendStack(l, f.Stack)
	entry("do", f.Advice)
	entry("cost", f.Cost)
	entry("more", f.More)
	entry("conns", cookies(f.Conns, f.Count))
}

// host says on which other host a process is.
func (l *line) host(t *event.Task) {
	if t.Label != nil && t.Label.Host != "" {
		l.text(" on " + Safe(t.Label.Host))
	}
}

// appendStack writes where the connections were opened, a function in a line. One
// that does not fit is cut, so that none takes two.
func (o *Findings) appendStack(l *line, s *diagnose.CallStack) {
	if s == nil {
		return
	}
	l.text("  stack")
	l.b = appendSpaces(l.b, findingIndent-l.width())
	l.wrap(s.Call+"() of "+strconv.Itoa(s.Count)+" of "+strconv.Itoa(s.Of)+", called by", o.width(), findingIndent)
	for _, name := range s.Functions {
		l.b = appendSpaces(l.b, findingIndent)
		l.b, _ = appendSafe(l.b, []byte(name), o.width()-findingIndent)
		l.text("\n")
	}
	l.cell()
}

// evidence spells the figures; the words of one stay together where they fit.
func evidence(f *diagnose.Finding) string {
	var parts []string
	for _, v := range f.Evidence {
		text := v.Word
		switch v.Kind {
		case diagnose.Number:
			text = strconv.FormatInt(v.Number, 10)
		case diagnose.Length:
			text = string(AppendDuration(nil, v.Length))
		case diagnose.List:
			text = strings.Trim(fmt.Sprint(v.List), "[]")
		}
		parts = append(parts, v.Name+" "+text)
	}
	return strings.Join(parts, ", ")
}

// cookies lists connections as "ss -e" prints them behind sk:.
func cookies(ids []event.ID, count uint64) string {
	var parts []string
	for _, id := range ids {
		parts = append(parts, strconv.FormatUint(id.Cookie, 16))
	}
	if len(ids) > 0 && uint64(len(ids)) < count {
		parts = append(parts, "...")
	}
	return strings.Join(parts, " ")
}

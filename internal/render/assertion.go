package render

import (
	"strconv"

	"github.com/tcptrace/tcptrace/internal/assert"
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	outcomeWidth       = 9
	offenderIndent     = 10
	offenderNameWidth  = 40 // of a process
	leastAssertionGap  = 2
	mostAssertionWidth = 48
)

var outcomeColors = map[assert.Outcome]string{assert.Holds: "32", assert.Fails: alarm, assert.Unproven: "33"}

// AppendVerdicts appends a line for each assertion, with what was found, and
// below those that fail a line for each of the worst that speaks against it.
func (o *Options) AppendVerdicts(b []byte, all []assert.Verdict) []byte {
	width := 0
	for i := range all {
		width = max(width, min(len(all[i].Assertion.Text), mostAssertionWidth))
	}
	for i := range all {
		v := &all[i]
		l := line{b: b, color: o.Color}
		l.cell()
		l.paint(outcomeColors[v.Outcome], v.Outcome.String())
		l.pad(outcomeWidth)
		l.safe(v.Assertion.Text, 200)
		l.pad(width + leastAssertionGap)
		l.found(v)
		l.text("\n")
		for j := range v.Offenders {
			l.offender(v, &v.Offenders[j])
		}
		if more := v.Broken - uint64(len(v.Offenders)); more > 0 && len(v.Offenders) > 0 {
			l.b = appendSpaces(l.b, offenderIndent)
			l.text("and " + group(more) + " more\n")
		}
		b = l.b
	}
	return b
}

// found says in figures what the verdict rests on.
func (l *line) found(v *assert.Verdict) {
	switch {
	case !v.Assertion.Timed():
		l.text(group(v.Number))
	case v.Number == 0:
		l.text("there is none")
	case v.Assertion.Each():
		if v.Broken > 0 {
			l.text(group(v.Broken) + " of ")
		}
		l.text(countOf(v.Number, "time"))
		l.text(", the " + worstWord(v) + " ")
		l.b = appendBound(l.b, v.Length, v.Bound)
	default:
		l.b = appendBound(l.b, v.Length, v.Bound)
		l.text(" of " + countOf(v.Number, "time"))
	}
	if v.Why != "" {
		l.text("; " + v.Why)
	}
}

func worstWord(v *assert.Verdict) string {
	if v.Assertion.Upward() {
		return "shortest"
	}
	return "longest"
}

func (l *line) offender(v *assert.Verdict, o *assert.Offender) {
	l.b = appendSpaces(l.b, offenderIndent)
	if o.Finding != nil {
		l.severity(o.Finding.Severity, o.Finding.Severity.String())
		l.text(" " + o.Finding.Rule.Name + " ")
		l.cell()
		l.process(&o.Finding.Process.Task, offenderNameWidth)
		l.text(": " + Safe(o.Finding.Summary) + "\n")
		return
	}
	l.cell()
	l.process(&o.Process.Task, offenderNameWidth)
	l.text("  ")
	l.endpoint(o.Local)
	l.text(map[conn.Role]string{conn.Client: " -> ", conn.Server: " <- ", conn.RoleUnknown: " - "}[o.Role])
	l.endpoint(o.Remote)
	if o.State != tcp.Unknown {
		l.text("  ")
		l.state(o.State)
	}
	if v.Assertion.Timed() {
		l.text(" ")
		l.b = appendBound(l.b, o.Length, offenderBound(o))
	} else if o.Count > 1 {
		l.text("  " + strconv.FormatUint(o.Count, 10))
	}
	if o.Note != "" {
		l.text("  " + o.Note)
	}
	l.text("\n")
}

func offenderBound(o *assert.Offender) conn.Bound {
	if o.Lasts {
		return o.Bound.And(conn.AtLeast)
	}
	return o.Bound
}

// AppendAssertionWords appends the words of the language, with what they mean.
func AppendAssertionWords(b []byte) []byte {
	groups := assert.Words()
	for i, g := range groups {
		if i > 0 {
			b = append(b, '\n')
		}
		b = append(append(b, g.Title...), ":\n"...)
		width := 0
		for _, w := range g.Words {
			width = max(width, len(w.Name))
		}
		for _, w := range g.Words {
			b = append(append(b, "  "...), w.Name...)
			b = appendSpaces(b, width-len(w.Name)+2)
			b = append(append(b, w.Meaning...), '\n')
		}
	}
	return b
}

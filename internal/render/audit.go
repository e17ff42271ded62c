package render

import (
	"strconv"
	"strings"

	"github.com/tcptrace/tcptrace/internal/audit"
)

// AppendAudit appends a table for each network namespace: for each counter what
// tcptrace counted, what the kernel did, and "=" or the difference with its
// reasons. Namespaces in which neither counted anything are only counted.
func AppendAudit(b []byte, r *audit.Report, color bool) []byte {
	l := line{b: b, color: color}
	idle := 0
	for i := range r.Spaces {
		if isIdle(&r.Spaces[i]) && len(r.Spaces) > 1 {
			idle++
			continue
		}
		l.space(&r.Spaces[i])
	}
	if idle > 0 {
		l.text(plural(idle, "more network namespace", "more network namespaces"))
		l.text(": nothing counted by either\n")
	}
	return l.b
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

func isIdle(s *audit.Space) bool {
	for i := range s.Lines {
		if s.Lines[i].Tcptrace != 0 || s.Lines[i].Kernel != 0 {
			return false
		}
	}
	return true
}

const auditWidth = 10

func (l *line) space(s *audit.Space) {
	l.cell()
	l.text("NETNS ")
	l.b = strconv.AppendUint(l.b, uint64(s.NetNS), 10)
	if s.Name != "" {
		l.text(" ")
		l.b, _ = appendSafe(l.b, []byte(s.Name), 64)
	}
	if s.New {
		l.text(" (found only at the end: its figures are taken to have begun at 0)")
	}
	l.text("\n")
	name := len("COUNTER")
	for i := range s.Lines {
		name = max(name, len(s.Lines[i].Counter.String()))
	}
	l.cell()
	l.text("COUNTER")
	l.pad(name)
	l.figure("TCPTRACE")
	l.text("   ")
	l.figure("KERNEL")
	l.text("\n")
	for i := range s.Lines {
		l.comparison(&s.Lines[i], name)
	}
}

func (l *line) comparison(c *audit.Line, name int) {
	l.cell()
	l.text(c.Counter.String())
	l.pad(name)
	l.figure(strconv.FormatInt(c.Tcptrace, 10))
	switch {
	case c.Equal():
		l.text(" = ")
	case c.Holds():
		l.paint("33", " ~ ")
	default:
		l.paint(alarm, " ! ")
	}
	l.figure(strconv.FormatInt(c.Kernel, 10))
	if !c.Equal() {
		l.text("  ")
		if c.Difference() > 0 {
			l.text("+")
		}
		l.b = strconv.AppendInt(l.b, c.Difference(), 10)
		if len(c.Why) > 0 {
			l.text(": ")
			l.text(strings.Join(c.Why, "; "))
		}
	}
	l.text("\n")
}

// figure writes s to the right of a column of figures.
func (l *line) figure(s string) {
	for n := len(s); n < auditWidth; n++ {
		l.text(" ")
	}
	l.text(s)
}

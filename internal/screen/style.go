package screen

import (
	"strings"

	"charm.land/lipgloss/v2"

	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A style is how text looks: what a terminal is told before it and behind it.
type style struct{ before, behind string }

// styleOf spells a style once for all that is painted in it.
func styleOf(l lipgloss.Style) style {
	before, behind, _ := strings.Cut(l.Render("x"), "x")
	return style{before, behind}
}

// Colours are the terminal's own sixteen, so that they suit its background. They
// say nothing that a word does not say too.
var (
	plain    = style{}
	bold     = styleOf(lipgloss.NewStyle().Bold(true))
	faint    = styleOf(lipgloss.NewStyle().Faint(true))
	inverted = styleOf(lipgloss.NewStyle().Reverse(true))
	good     = colored("2")
	warn     = colored("3")
	alert    = styleOf(lipgloss.NewStyle().Foreground(lipgloss.Color("3")).Bold(true))
	alarm    = colored("1")
	critical = styleOf(lipgloss.NewStyle().Foreground(lipgloss.Color("1")).Bold(true))
	note     = colored("6")
)

func colored(c string) style { return styleOf(lipgloss.NewStyle().Foreground(lipgloss.Color(c))) }

// paint styles s, if there is anything to style.
func paint(st style, s string) string {
	if st.before == "" || strings.TrimSpace(s) == "" {
		return s
	}
	return st.before + s + st.behind
}

// painted paints lines.
func painted(st style, lines []string) []string {
	for i := range lines {
		lines[i] = paint(st, lines[i])
	}
	return lines
}

// stateStyles: green where all is well, cool while opening or closing by itself,
// warm where somebody has to act.
var stateStyles = [tcp.NumStates]style{
	tcp.Unknown:     plain,
	tcp.Established: good,
	tcp.SynSent:     note,
	tcp.SynRecv:     note,
	tcp.FinWait1:    colored("4"),
	tcp.FinWait2:    colored("4"),
	tcp.TimeWait:    colored("5"),
	tcp.CloseWait:   warn,
	tcp.LastAck:     warn,
	tcp.Closing:     warn,
	tcp.Close:       plain,
	tcp.Listen:      bold,
}

func severityStyle(s diagnose.Severity) style {
	switch s {
	case diagnose.Critical:
		return critical
	case diagnose.Warning:
		return warn
	case diagnose.Info:
		return note
	}
	return plain
}

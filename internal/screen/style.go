package screen

import (
	"charm.land/lipgloss/v2"

	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Colours are the terminal's own sixteen, so that they suit its background. They
// say nothing that a word does not say too.
var (
	plain    = lipgloss.NewStyle()
	bold     = lipgloss.NewStyle().Bold(true)
	faint    = lipgloss.NewStyle().Faint(true)
	inverted = lipgloss.NewStyle().Reverse(true)
	good     = lipgloss.NewStyle().Foreground(lipgloss.Color("2"))
	warn     = lipgloss.NewStyle().Foreground(lipgloss.Color("3"))
	alarm    = lipgloss.NewStyle().Foreground(lipgloss.Color("1"))
	critical = alarm.Bold(true)
	note     = lipgloss.NewStyle().Foreground(lipgloss.Color("6"))
)

// stateStyles: green where all is well, cool while opening or closing by itself,
// warm where somebody has to act.
var stateStyles = [tcp.NumStates]lipgloss.Style{
	tcp.Unknown:     plain,
	tcp.Established: good,
	tcp.SynSent:     note,
	tcp.SynRecv:     note,
	tcp.FinWait1:    lipgloss.NewStyle().Foreground(lipgloss.Color("4")),
	tcp.FinWait2:    lipgloss.NewStyle().Foreground(lipgloss.Color("4")),
	tcp.TimeWait:    lipgloss.NewStyle().Foreground(lipgloss.Color("5")),
	tcp.CloseWait:   warn,
	tcp.LastAck:     warn,
	tcp.Closing:     warn,
	tcp.Close:       plain,
	tcp.Listen:      bold,
}

func severityStyle(s diagnose.Severity) lipgloss.Style {
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

package render

import (
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
)

// The functions below spell one thing for a cell of somebody else's table, as
// the lines of this package do: without colour, and harmless to a terminal
// whoever chose the name.

// Process spells a process as name/pid in at most width columns, and "-" where
// it is not known. It is the name that is cut.
func Process(t *event.Task, width int) string {
	l := line{}
	l.process(t, width)
	return string(l.b)
}

// Endpoint spells an address and port, with "-" for what is not known.
func Endpoint(e netip.AddrPort) string {
	l := line{}
	l.endpoint(e)
	return string(l.b)
}

// Duration spells d as AppendDuration does.
func Duration(d time.Duration) string { return string(AppendDuration(nil, d)) }

// Count spells n with a comma at every thousand.
func Count(n uint64) string { return group(n) }

// Columns returns how many columns of a terminal s takes.
func Columns(s string) int { return columns.StringWidth(s) }

// Evidence spells the figures of a finding.
func Evidence(f *diagnose.Finding) string { return evidence(f) }

package record

import (
	"strings"

	"github.com/tcptrace/tcptrace/internal/audit"
	"github.com/tcptrace/tcptrace/internal/event"
)

// AppendAudit appends the record of one line of an audit, whose figures were
// read at a time: both counts, whether they are equal, and if they are not the
// difference, whether it is within what cannot be known, and the reasons.
func AppendAudit(b []byte, l *audit.Line, at event.Time, clock event.Clock) []byte {
	w := newWriter(b)
	w.Word("type", "audit")
	w.Time("time", clock.Wall(at))
	w.Int("mono_ns", int64(at))
	w.Uint("netns", uint64(l.NetNS))
	w.Word("counter", l.Counter.String())
	w.Int("tcptrace", l.Tcptrace)
	w.Int("kernel", l.Kernel)
	w.Bool("equal", l.Equal())
	if !l.Equal() {
		w.Int("difference", l.Difference())
		w.Bool("bounded", l.Holds())
		w.Text("reason", strings.Join(l.Why, "; "))
	}
	w.Close('}')
	return append(w.B, '\n')
}

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
	w := writer{append(b, '{')}
	w.word("type", "audit")
	w.time("time", clock.Wall(at))
	w.int("mono_ns", int64(at))
	w.uint("netns", uint64(l.NetNS))
	w.word("counter", l.Counter.String())
	w.int("tcptrace", l.Tcptrace)
	w.int("kernel", l.Kernel)
	w.bool("equal", l.Equal())
	if !l.Equal() {
		w.int("difference", l.Difference())
		w.bool("bounded", l.Holds())
		w.text("reason", strings.Join(l.Why, "; "))
	}
	w.close('}')
	return append(w.b, '\n')
}

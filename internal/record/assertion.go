package record

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/assert"
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// AppendVerdict appends the record of one assertion as it was judged at a time,
// and a newline.
func AppendVerdict(b []byte, v *assert.Verdict, at event.Time, clock event.Clock) []byte {
	w := writer{append(b, '{')}
	w.head("assertion", &conn.Change{Time: at}, clock)
	w.text("assertion", v.Assertion.Text)
	w.word("outcome", v.Outcome.String())
	w.text("reason", v.Why)
	w.uint("number", v.Number)
	if v.Assertion.Timed() && v.Number > 0 {
		w.measured(v.Length, v.Bound)
	}
	if len(v.Offenders) > 0 {
		w.uint("broken", v.Broken)
		w.open("evidence", '[')
		for i := range v.Offenders {
			w.comma()
			w.b = append(w.b, '{')
			w.offender(v, &v.Offenders[i])
			w.close('}')
		}
		w.close(']')
	}
	w.close('}')
	return append(w.b, '\n')
}

func (w *writer) offender(v *assert.Verdict, o *assert.Offender) {
	if f := o.Finding; f != nil {
		w.word("rule", f.Rule.Name)
		w.text("id", f.ID)
		w.word("severity", f.Severity.String())
		w.uint("count", f.Count)
		w.text("summary", f.Summary)
		w.process("process", &f.Process.Task, f.Process.Via)
		return
	}
	w.identity(o.ID)
	w.endpoints(o.Local, o.Remote)
	w.word("role", o.Role.String())
	w.process("process", &o.Process.Task, o.Process.Via)
	w.state("state", o.State)
	if v.Assertion.Timed() {
		w.measured(o.Length, o.Bound)
	} else {
		w.uint("count", o.Count)
	}
	if o.Lasts {
		w.bool("lasts", true)
	}
	w.text("note", o.Note)
}

// measured writes a time with what is known of it.
func (w *writer) measured(d time.Duration, bound conn.Bound) {
	switch bound {
	case conn.Exact:
		w.int("ns", int64(d))
	case conn.AtLeast:
		w.int("at_least_ns", int64(d))
	case conn.AtMost:
		w.int("at_most_ns", int64(d))
	}
}

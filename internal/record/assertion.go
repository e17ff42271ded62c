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
	w := newWriter(b)
	w.head("assertion", &conn.Change{Time: at}, clock)
	w.Text("assertion", v.Assertion.Text)
	w.Word("outcome", v.Outcome.String())
	w.Text("reason", v.Why)
	w.Uint("number", v.Number)
	if v.Assertion.Timed() && v.Number > 0 {
		w.measured(v.Length, v.Bound)
	}
	if len(v.Offenders) > 0 {
		w.Uint("broken", v.Broken)
		w.Open("evidence", '[')
		for i := range v.Offenders {
			w.Comma()
			w.B = append(w.B, '{')
			w.offender(v, &v.Offenders[i])
			w.Close('}')
		}
		w.Close(']')
	}
	w.Close('}')
	return append(w.B, '\n')
}

func (w *writer) offender(v *assert.Verdict, o *assert.Offender) {
	if f := o.Finding; f != nil {
		w.Word("rule", f.Rule.Name)
		w.Text("id", f.ID)
		w.Word("severity", f.Severity.String())
		w.Uint("count", f.Count)
		w.Text("summary", f.Summary)
		w.process("process", &f.Process.Task, f.Process.Via)
		return
	}
	w.identity(o.ID)
	w.endpoints(o.Local, o.Remote)
	w.Word("role", o.Role.String())
	w.process("process", &o.Process.Task, o.Process.Via)
	w.state("state", o.State)
	if v.Assertion.Timed() {
		w.measured(o.Length, o.Bound)
	} else {
		w.Uint("count", o.Count)
	}
	if o.Lasts {
		w.Bool("lasts", true)
	}
	w.Text("note", o.Note)
}

// measured writes a time with what is known of it.
func (w *writer) measured(d time.Duration, bound conn.Bound) {
	switch bound {
	case conn.Exact:
		w.Int("ns", int64(d))
	case conn.AtLeast:
		w.Int("at_least_ns", int64(d))
	case conn.AtMost:
		w.Int("at_most_ns", int64(d))
	}
}

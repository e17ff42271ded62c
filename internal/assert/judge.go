package assert

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
)

// maxTimes bounds the times that a summary of one assertion is made of.
const maxTimes = 1 << 22

// A Judge holds assertions against what it is shown. It is not safe for
// concurrent use.
type Judge struct {
	cases      []*trial
	lost       uint64
	lostQueues uint64 // of these, news of a listener's full queue
	partial    uint64 // connections that began before our eyes, and of which an event is missing
}

// A trial is one assertion with what was seen of its subject.
type trial struct {
	*Assertion
	number    uint64
	times     []time.Duration
	sum       time.Duration
	bound     conn.Bound // of the sum
	worst     stay       // of Each: the one that comes nearest to breaking it
	measured  uint64
	broken    uint64
	unjudged  uint64 // stays of which too little is known
	untimed   uint64 // stays for which there was no room
	offenders []Offender
}

// NewJudge returns a Judge of these assertions that has seen nothing.
func NewJudge(assertions []*Assertion) *Judge {
	j := &Judge{}
	for _, a := range assertions {
		j.cases = append(j.cases, &trial{Assertion: a})
	}
	return j
}

// Handle takes in one change, of a connection that the assertions speak of. It
// keeps neither the change nor its connection. Connections count when they have
// ended, or the trace has.
func (j *Judge) Handle(c *conn.Change) {
	switch c.Kind {
	case conn.Lost:
		j.lost += c.Event.Loss.Count
		if c.Event.Loss.Kind == event.QueueFull {
			j.lostQueues += c.Event.Loss.Count
		}
		return
	case conn.Ended, conn.Failed, conn.Dropped, conn.QueueFull:
	default:
		return
	}
	if c.Kind == conn.Ended {
		if c.Conn.Listener() {
			return
		}
		if c.Conn.OpenedKnown && !c.Conn.Complete {
			j.partial++
		}
	}
	for _, t := range j.cases {
		if !t.speaksOf(c) {
			continue
		}
		if t.figure != nil {
			t.count(c)
		} else if c.Kind == conn.Ended {
			t.measure.stays(c, func(s stay) { t.time(c, s) })
		}
	}
}

// Findings takes in the diagnoses, once and at the end.
func (j *Judge) Findings(all []diagnose.Finding) {
	for _, t := range j.cases {
		if t.figure == nil || t.figure.finding == nil {
			continue
		}
		for i := range all {
			f := &all[i]
			if t.figure.finding(f) && t.by(&f.Process.Task) {
				t.number++
				t.offend(Offender{Finding: f, Count: f.Count})
			}
		}
	}
}

func (t *trial) count(c *conn.Change) {
	if t.figure.change == nil {
		return
	}
	n := t.figure.change(c)
	if n == 0 {
		return
	}
	t.number += n
	o := offenderOf(c)
	o.Count = n
	note := t.figure.note
	if note == nil {
		note = ending
	}
	o.Note = note(c)
	t.offend(o)
}

// gather takes in a stay of many that a summary is of.
func (t *trial) gather(s stay) {
	if len(t.times) >= maxTimes {
		t.untimed++
		return
	}
	t.times = append(t.times, s.length)
	t.sum += s.length
	t.bound = t.bound.And(s.bound)
	if s.bound != conn.Exact {
		t.unjudged++
	}
	if s.lasts {
		t.bound = t.bound.And(conn.AtLeast)
	}
}

// time takes in a stay.
func (t *trial) time(c *conn.Change, s stay) {
	t.measured++
	if t.summary != nil {
		t.gather(s)
		return
	}
	if upward := t.op == more || t.op == orMore; t.measured == 1 || upward == (s.length < t.worst.length) {
		t.worst = s
	}
	low, high := holds(s.least(), t.op, t.length), holds(s.most(), t.op, t.length)
	switch {
	case low && high:
	case low != high:
		// It may hold, or not; one that lasts is judged by what it took so far.
		if !s.lasts || s.bound != conn.Exact || !holds(s.length, t.op, t.length) {
			t.unjudged++
		}
	default:
		o := offenderOf(c)
		o.State, o.Length, o.Bound, o.Lasts = t.measure.state, s.length, s.bound, s.lasts
		o.Note = ending(c)
		t.offend(o)
	}
}

func offenderOf(c *conn.Change) Offender {
	if c.Conn == nil {
		return Offender{ID: c.Event.ID, Local: c.Event.Local, Remote: c.Event.Remote, Process: conn.Owner{Task: c.Event.Task}}
	}
	return Offender{ID: c.Conn.ID, Local: c.Conn.Local, Remote: c.Conn.Remote, Role: c.Conn.Role, Process: c.Conn.Owner}
}

// offend keeps o if it is one of the worst: the longest, or of the most. Of
// equal ones the first stand.
func (t *trial) offend(o Offender) {
	t.broken++
	worse := func(a, b Offender) int {
		return cmp.Or(-cmp.Compare(a.Length, b.Length), -cmp.Compare(a.Count, b.Count))
	}
	if t.op == more || t.op == orMore {
		worse = func(a, b Offender) int { return cmp.Compare(a.Length, b.Length) }
	}
	at, _ := slices.BinarySearchFunc(t.offenders, o, func(a, b Offender) int {
		return cmp.Or(worse(a, b), -1) // behind its equals
	})
	if at == maxOffenders {
		return
	}
	t.offenders = slices.Insert(t.offenders, at, o)
	t.offenders = t.offenders[:min(len(t.offenders), maxOffenders)]
}

// Verdicts judges all assertions by what was seen, in their order.
func (j *Judge) Verdicts() (all []Verdict) {
	for _, t := range j.cases {
		v := t.verdict()
		if v.Outcome == Holds {
			if v.Why = j.unseen(t); v.Why != "" {
				v.Outcome = Unproven
			}
		}
		all = append(all, v)
	}
	return all
}

// unseen says what of t's subject was not seen, or "".
func (j *Judge) unseen(t *trial) string {
	lost := j.lost
	if !t.hearsOfQueues() {
		lost -= j.lostQueues
	}
	switch {
	case t.untimed > 0:
		return fmt.Sprintf("%d more times were measured than can be kept", t.untimed)
	case t.unjudged > 0:
		return fmt.Sprintf("of %d of them the begin or the end was not seen", t.unjudged)
	case lost > 0:
		return fmt.Sprintf("%d events were lost", lost)
	case j.partial > 0:
		return fmt.Sprintf("of %d connections an event was not seen", j.partial)
	}
	return ""
}

// hearsOfQueues reports whether a listener's full queue may speak against t.
func (t *trial) hearsOfQueues() bool {
	return t.figure != nil && (t.figure.finding != nil || t.figure.name == "queue_overflows")
}

func (t *trial) verdict() Verdict {
	v := Verdict{Assertion: t.Assertion, Outcome: Holds, Number: t.number, Offenders: t.offenders, Broken: t.broken}
	switch {
	case t.figure != nil:
		if !holds(t.number, t.op, t.Assertion.number) {
			v.Outcome = Fails
		}
		if t.op == more || t.op == orMore || t.op == equal && t.number < t.Assertion.number || v.Outcome == Holds {
			v.Offenders, v.Broken = nil, 0 // there are too few, not too many
		}
	case t.summary == nil:
		v.Number, v.Length, v.Bound = t.measured, t.worst.length, t.worst.bound
		if t.worst.lasts {
			v.Bound = v.Bound.And(conn.AtLeast)
		}
		if t.broken > 0 {
			v.Outcome = Fails
		}
	default:
		t.summarize(&v)
	}
	return v
}

func (t *trial) summarize(v *Verdict) {
	v.Number, v.Bound = t.measured, t.bound
	if len(t.times) == 0 {
		return // of none everything is true
	}
	v.Length = t.summary.of(t.times, t.sum)
	if !holds(v.Length, t.op, t.length) {
		v.Outcome = Fails
	}
}

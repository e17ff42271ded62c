package assert

import (
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A figure counts something. Just one of its functions is set.
type figure struct {
	name    string
	meaning string
	change  func(*conn.Change) uint64 // what c adds to it
	finding func(*diagnose.Finding) bool
	note    func(*conn.Change) string // of an offender; nil: how its connection ended
}

// figures lists what can be counted, but for the states and the rules of "why".
var figures = []figure{
	{name: "connections", meaning: "that ended, or were open at the end; no listeners", change: onEnd(func(*conn.Connection) bool { return true })},
	{name: "clients", meaning: "of these, that called connect()", change: onEnd(func(c *conn.Connection) bool { return c.Role == conn.Client })},
	{name: "servers", meaning: "of these, that a listener made", change: onEnd(func(c *conn.Connection) bool { return c.Role == conn.Server })},
	{name: "open", meaning: "still open at the end, TIME_WAIT apart", change: onEnd(isOpen)},
	{name: "resets", meaning: "connections that a RST ended, whoever sent it, and those killed from outside; refused ones apart",
		change: onEnd(endedBy(conn.EndResetSent, conn.EndResetReceived, conn.EndAborted))},
	{name: "resets_sent", meaning: "of these, by our RST", change: onEnd(endedBy(conn.EndResetSent, conn.EndAborted))},
	{name: "resets_received", meaning: "of these, by the peer's", change: onEnd(endedBy(conn.EndResetReceived))},
	{name: "failed_connects", meaning: "connect() calls that made no connection: refused, timed out, unreachable, no port free, ...", change: failedConnect},
	{name: "refused", meaning: "of these, that a RST answered", change: onEnd(endedBy(conn.EndRefused))},
	{name: "timeouts", meaning: "connections, or attempts at one, that ended because nobody answered", change: onEnd(endedBy(conn.EndTimeout))},
	{name: "failed_accepts", meaning: "accept() calls that failed, as with EMFILE; the next call to come too early is none", change: failedAccept},
	{name: "retransmits", meaning: "segments sent again", change: resent(conn.NumClasses), note: nothing},
	{name: "drops", meaning: "packets of these connections that the kernel dropped", change: count(conn.Dropped), note: reason},
	{name: "queue_overflows", meaning: "handshakes that met a full accept queue or SYN backlog", change: count(conn.QueueFull), note: nothing},
	{name: "incomplete", meaning: "connections whose begin, or an event of theirs, was not seen", change: onEnd(func(c *conn.Connection) bool { return !c.Complete })},
	{name: "findings", meaning: "of \"tcptrace why\", critical ones and warnings", finding: atLeast(diagnose.Warning)},
	{name: "critical_findings", meaning: "of these, the critical ones", finding: atLeast(diagnose.Critical)},
}

// allFigures are figures, one for each class of retransmit, state and rule.
var allFigures = append(figures, derived()...)

func derived() (all []figure) {
	for class := conn.ClassRTO; class < conn.NumClasses; class++ {
		name := class.String()
		all = append(all, figure{name: "retransmits_" + name, meaning: "of the retransmits, those of class " + name, change: resent(class), note: nothing})
	}
	for _, s := range measuredStates() {
		all = append(all, figure{name: s.String(), meaning: "connections that have been in " + s.String(), change: onEnd(func(c *conn.Connection) bool {
			return hasBeenIn(c, s)
		})})
	}
	for _, r := range diagnose.Rules() {
		all = append(all, figure{name: r.Name, meaning: "findings of this rule, of any severity", finding: func(f *diagnose.Finding) bool {
			return f.Rule.Name == r.Name
		}})
	}
	return all
}

func onEnd(is func(*conn.Connection) bool) func(*conn.Change) uint64 {
	return func(c *conn.Change) uint64 {
		if c.Kind == conn.Ended && is(c.Conn) {
			return 1
		}
		return 0
	}
}

func endedBy(ends ...conn.End) func(*conn.Connection) bool {
	return func(c *conn.Connection) bool {
		for _, e := range ends {
			if c.End == e {
				return c.Closed != 0
			}
		}
		return false
	}
}

func isOpen(c *conn.Connection) bool { return c.Closed == 0 && c.State != tcp.TimeWait }

func hasBeenIn(c *conn.Connection, s tcp.State) bool {
	for i := range c.Spans {
		if c.Spans[i].State == s {
			return true
		}
	}
	return false
}

// failedConnect counts attempts that left a connection's record, and calls that
// failed before there was anything to record.
func failedConnect(c *conn.Change) uint64 {
	switch {
	case c.Kind == conn.Failed && c.Event.Op == event.OpConnect && c.Conn == nil:
		return calls(c.Event)
	case c.Kind != conn.Ended || c.Conn.Closed == 0 || c.Conn.Role != conn.Client:
		return 0
	case hasBeenIn(c.Conn, tcp.Established) || c.Conn.SpansCut > 0:
		return 0
	}
	switch c.Conn.End {
	case conn.EndRefused, conn.EndTimeout, conn.EndUnreachable, conn.EndUnsent, conn.EndError, conn.EndAborted:
		return 1
	}
	return 0
}

func failedAccept(c *conn.Change) uint64 {
	const eAGAIN = 11
	if c.Kind != conn.Failed || c.Event.Op != event.OpAccept || c.Event.Err == eAGAIN {
		return 0
	}
	return calls(c.Event)
}

func calls(ev *event.Event) uint64 { return max(1, uint64(ev.Count)) }

// resent counts the segments of a class, or of all.
func resent(class conn.Class) func(*conn.Change) uint64 {
	return func(c *conn.Change) (n uint64) {
		if c.Kind != conn.Ended {
			return 0
		}
		for of, segments := range c.Conn.Retransmits {
			if class == conn.NumClasses || class == conn.Class(of) {
				n += uint64(segments)
			}
		}
		return n
	}
}

func count(kind conn.ChangeKind) func(*conn.Change) uint64 {
	return func(c *conn.Change) uint64 {
		if c.Kind != kind {
			return 0
		}
		return calls(c.Event)
	}
}

func atLeast(s diagnose.Severity) func(*diagnose.Finding) bool {
	return func(f *diagnose.Finding) bool { return f.Severity >= s }
}

func nothing(*conn.Change) string { return "" }

func reason(c *conn.Change) string { return c.Event.Reason }

// ending says in a few words how what c reports came to its end.
func ending(c *conn.Change) string {
	switch {
	case c.Kind == conn.Failed:
		return c.Event.Op.String() + "() " + c.Event.Err.String()
	case c.Kind != conn.Ended:
		return ""
	case c.Conn.Closed == 0:
		return "open, in " + c.Conn.State.String()
	}
	end := c.Conn.End.String()
	if cause := c.Conn.ResetCause.String(); cause != "" && cause != "unknown" {
		end += ", " + cause
	}
	return end
}

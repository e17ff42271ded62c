package diagnose

import (
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

var resetAborted = Rule{
	Name:  "reset-aborted",
	Short: "the connection was killed from outside (ss -K, a tool)",
	Meaning: "Another process had the kernel destroy the socket (SOCK_DESTROY: \"ss -K\", a firewall daemon, an operator). The owner" +
		" meets ECONNABORTED, the peer a RST.",
	When:     "One connection ended with ECONNABORTED: a warning, as somebody did it on purpose and its owner does not know.",
	Evidence: resetEvidence,
	Advice:   "Ask whoever runs the process named as the actor. If it is a tool that ends idle or blocked connections, see its rules.",
	More:     "tcptrace conns --pid PID",
	begin: func(e *Engine, r *Rule) watcher {
		return newReset(e, r, func(c *conn.Change) (string, bool) {
			switch c.Kind {
			case conn.ResetSent:
				return "", c.Reset.Cause == conn.ResetAborted
			case conn.Transition:
				return "", c.Conn.End == conn.EndAborted && c.Conn.Err == event.ECONNABORTED
			}
			return "", false
		}, func(_ *Engine, x *entry[resets], f *Finding) {
			f.Severity = Warning
			f.Summary = connections(x.count) + " killed from outside"
			f.Cause = "another process had the kernel destroy the socket, as \"ss -K\" does"
		})
	},
}

package diagnose

import "github.com/tcptrace/tcptrace/internal/conn"

var resetLinger = Rule{
	Name:  "reset-linger",
	Short: "SO_LINGER 0: close() sends RST",
	Meaning: "The process has set SO_LINGER with a time of 0, so its close() throws away what was not sent yet and sends a RST. The peer" +
		" meets ECONNRESET, and may lose data that was on its way.",
	When:     "The process itself ended the connection by a RST, without unread data and without an error on the socket." + resetWhen,
	Evidence: resetEvidence,
	Advice: "Take SO_LINGER 0 out of the program, or keep it for peers that misbehave. It is no cure for TIME_WAIT: use connections again," +
		" or let the peer close first.",
	Cost: "Connections closed in order pass through TIME_WAIT again, a minute at the side that closes first.",
	More: "tcptrace watch --pid PID --kind reset",
	begin: func(e *Engine, r *Rule) watcher {
		return newReset(e, r, sentFor(conn.ResetLinger), func(_ *Engine, x *entry[resets], f *Finding) {
			f.Summary = connections(x.count) + " closed by RST, with SO_LINGER 0" + share(x)
			f.Cause = "the process set SO_LINGER with time 0 and closed"
		})
	},
}

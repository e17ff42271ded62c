package diagnose

import "github.com/tcptrace/tcptrace/internal/conn"

const flagFIN = 1 // of TCP

var resetAfterClose = Rule{
	Name:  "reset-after-close",
	Short: "the peer sent data to a socket already closed",
	Meaning: "Our process closed, and data came after that which nobody can read: the kernel answered with a RST. The peer's next write" +
		" fails with EPIPE or ECONNRESET, and it does not know what of its data arrived.",
	When:     "A RST answered data for a connection that its process had closed." + resetWhen,
	Evidence: resetEvidence,
	Advice: "Agree on who closes: a server that ends idle keep-alive connections needs a longer time limit than its clients' pools use" +
		" (let the client's be the shorter one). A process that wants to hear the rest calls shutdown(SHUT_WR) and reads on.",
	Cost: "Longer time limits hold more idle connections open.",
	More: "tcptrace watch --pid PID --kind reset",
	begin: func(e *Engine, r *Rule) watcher {
		return newReset(e, r, pickAfterClose, func(_ *Engine, x *entry[resets], f *Finding) {
			f.Summary = connections(x.count) + " got data after our process had closed: answered by RST" + share(x)
			f.Cause = "the peer still sent when our side had closed"
		})
	},
}

// pickAfterClose leaves out what a RST sent before explains, which did not reach
// the peer; and a bare FIN, by which nothing is lost: it comes late where the
// peer is the one that does not close (fin-wait2-stuck).
func pickAfterClose(c *conn.Change) (string, bool) {
	if c.Kind != conn.ResetSent || c.Reset.Cause != conn.ResetAfterClose {
		return "", false
	}
	if r := &c.Event.Reset; r.Answer && r.AnsweredBytes == 0 && r.AnsweredFlags&flagFIN != 0 {
		return "", false
	}
	return "", c.Conn == nil || c.Conn.ResetCause == conn.ResetCauseNone || c.Conn.ResetCause == conn.ResetAfterClose
}

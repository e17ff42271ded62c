package diagnose

import "github.com/tcptrace/tcptrace/internal/conn"

var resetUnreadData = Rule{
	Name:  "reset-unread-data",
	Short: "close() with data unread: the kernel sends RST instead of FIN",
	Meaning: "The process closed while bytes from the peer lay unread in the socket, or came after it had stopped reading. TCP then owes" +
		" the peer a RST (RFC 1122, 4.2.2.13), and what the process wrote last may be lost to the peer, which meets ECONNRESET in place of" +
		" the end of the answer.",
	When:     "The kernel's reason for the RST is TCP_ABORT_ON_CLOSE, or on older kernels a close() without an error was seen." + resetWhen,
	Evidence: resetEvidence,
	Advice: "Let the process read to the end before close(); or shutdown(SHUT_WR), read until 0, then close(). Usual places: a server that" +
		" answers an error without reading the request's body; a client that stops in the middle of an answer; a process that was killed.",
	Cost: "Reading on costs time for bytes that nobody wants: bound it by size and by a deadline.",
	More: "tcptrace watch --pid PID --kind reset",
	begin: func(e *Engine, r *Rule) watcher {
		return newReset(e, r, sentFor(conn.ResetUnreadData), func(_ *Engine, x *entry[resets], f *Finding) {
			f.Summary = connections(x.count) + " closed with data unread: RST in place of FIN" + share(x)
			f.Cause = "close() before all that the peer sent was read"
		})
	},
}

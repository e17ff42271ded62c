package diagnose

import "github.com/tcptrace/tcptrace/internal/tcp"

var lastAckStuck = Rule{
	Name:     "last-ack-stuck",
	Short:    "both sides closed, but our FIN is not acknowledged",
	Meaning:  "The peer closed first, then our process did, and our FIN has no answer: the peer is gone, has forgotten the connection, or a firewall that saw one FIN let the other not pass. Nobody waits for the socket, and the kernel ends it when tcp_orphan_retries is used up.",
	When:     finWhen,
	Evidence: finEvidence,
	Advice:   "See whether the peer is there at all, and whether a firewall or a NAT on the way forgets connections at the first FIN. A lower tcp_orphan_retries ends such sockets earlier.",
	Cost:     "Fewer retries also give up on peers behind a network that only loses much.",
	More:     "tcptrace watch --pid PID --kind retransmit",
	Limits:   "A peer that answers with a RST ends it at once, and is no finding here.",
	begin: func(e *Engine, r *Rule) watcher {
		return newStuck(e, r, tcp.LastAck, finAfter, nil, func(e *Engine, x *entry[held], f *Finding) {
			describeFin(e, x, f, tcp.LastAck.String(), "both processes have closed; the acknowledgement of our FIN does not come")
		})
	},
}

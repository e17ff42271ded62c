package diagnose

import "github.com/tcptrace/tcptrace/internal/tcp"

var finWait1Stuck = Rule{
	Name:     "fin-wait1-stuck",
	Short:    "our FIN, or data before it, is not acknowledged",
	Meaning:  "The process has closed, and the kernel still sends what was written before, and then the FIN. The peer does not acknowledge it. The socket is an orphan: the kernel keeps its memory until the peer answers or tcp_orphan_retries is used up.",
	When:     finWhen,
	Evidence: finEvidence,
	Advice:   "See whether the peer is there at all, and whether a firewall drops the FIN. If there are no retransmits, the peer lives but has a zero window: it does not read. A lower tcp_orphan_retries ends such orphans earlier.",
	Cost:     "Fewer retries also cut off peers that are only slow or far away; what they have not received by then is lost.",
	More:     "tcptrace watch --pid PID --kind retransmit",
	Limits:   "Whether the peer's window is closed is told from the absence of retransmits alone.",
	begin: func(e *Engine, r *Rule) watcher {
		return newStuck(e, r, tcp.FinWait1, finAfter, nil, func(e *Engine, x *entry[held], f *Finding) {
			describeFin(e, x, f, tcp.FinWait1.String(), "our side has closed; the peer acknowledges neither the rest of the data nor the FIN")
		})
	},
}

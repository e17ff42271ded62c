package diagnose

import "github.com/tcptrace/tcptrace/internal/tcp"

var closingStuck = Rule{
	Name:     "closing-stuck",
	Short:    "both FINs crossed, and ours is not acknowledged",
	Meaning:  "Both sides closed at the same time. The peer's FIN came, but no acknowledgement of ours. The socket stays in CLOSING until that comes or tcp_orphan_retries is used up.",
	When:     finWhen,
	Evidence: finEvidence,
	Advice:   "See whether something on the way drops the acknowledgement, or our FIN. A lower tcp_orphan_retries ends such sockets earlier.",
	Cost:     "Fewer retries also give up on peers behind a network that only loses much.",
	More:     "tcptrace watch --pid PID --kind retransmit",
	Limits:   "CLOSING is rare: it needs both sides to close within one round trip.",
	begin: func(e *Engine, r *Rule) watcher {
		return newStuck(e, r, tcp.Closing, finAfter, nil, func(e *Engine, x *entry[held], f *Finding) {
			describeFin(e, x, f, tcp.Closing.String(), "the FINs crossed; ours is not acknowledged")
		})
	},
}

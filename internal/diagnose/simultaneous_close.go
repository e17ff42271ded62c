package diagnose

import "github.com/tcptrace/tcptrace/internal/tcp"

var simultaneousClose = Rule{
	Name:  "simultaneous-close",
	Short: "both ends closed at once",
	Meaning: "The FINs crossed: FIN_WAIT1 went to CLOSING, and both ends then pass through TIME_WAIT. TCP allows it, and it works. It needs" +
		" both processes to close within one round trip, as when both have the same time limit.",
	When:     "FIN_WAIT1 -> CLOSING was seen: information.",
	Evidence: []Term{{"connections", "how many closed so"}, {"peer", "the address of most of them"}},
	Advice:   "Nothing is wrong. If both ends have the same idle time limit, make one of them shorter.",
	More:     "tcptrace conns --pid PID",
	begin: func(e *Engine, r *Rule) watcher {
		return newRare(e, r, tcp.FinWait1, tcp.Closing, "closed by both ends at once", "the FINs crossed on the way")
	},
}

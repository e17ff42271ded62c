package diagnose

import "github.com/tcptrace/tcptrace/internal/tcp"

var simultaneousOpen = Rule{
	Name:  "simultaneous-open",
	Short: "both ends connected to each other at once, without a listener",
	Meaning: "The SYNs crossed: SYN_SENT went to SYN_RECV. TCP allows it, and it works. It is rare: both ends must have bound the port that" +
		" the other connects to, as programs do that pass a NAT (hole punching), or a client whose random local port is the one it connects" +
		" to, on its own host.",
	When:     "SYN_SENT -> SYN_RECV was seen: information.",
	Evidence: []Term{{"connections", "how many opened so"}, {"peer", "the address of most of them"}},
	Advice:   "Nothing is wrong. If a program connects to its own port so, let it listen on a port outside of ip_local_port_range.",
	More:     "tcptrace conns --pid PID",
	begin: func(e *Engine, r *Rule) watcher {
		return newRare(e, r, tcp.SynSent, tcp.SynRecv, "opened by both ends at once", "the SYNs crossed on the way")
	},
}

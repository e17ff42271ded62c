package diagnose

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	finWait2After = 10 * time.Second
	finWait2Many  = 10
	finWait2Old   = 5 * time.Minute
	finWait2Share = 100 // one of so many of the process's connections

	orphanWord    = "orphan"
	halfCloseWord = "half-close"
)

var finWait2Stuck = Rule{
	Name:  "fin-wait2-stuck",
	Short: "our side closed, the peer does not",
	Meaning: "Our FIN is acknowledged, so the peer's kernel has it, but the peer's process does not close. If our process has called" +
		" close(), the socket is an orphan, and the kernel ends it after tcp_fin_timeout. If it has called shutdown() and keeps its" +
		" descriptor, that is a half-close, and the kernel waits for ever.",
	When: "A connection is in FIN_WAIT2 for 10 s, or tcp_fin_timeout has ended it. Orphans and half-closes are told apart. Peers that" +
		" vanish leave some orphans on any busy host, which cost little: they are information. Where the peer is on this host and is the one" +
		" of a close-wait-leak, that tells it. Ten that are more than 1% of what the process" +
		" closed, or ten half-closes, or one half-close for five minutes, are a warning.",
	Evidence: append([]Term{
		{"kind", "orphan or half-close"},
		{"now", "connections in FIN_WAIT2 for 10 s or more, now"},
		{"peak", "the most at one time"},
		{"timed_out", "orphans that tcp_fin_timeout ended"},
		{"oldest_ns", "the longest time in FIN_WAIT2"},
		{"peer", "the address that does not close most of them"},
		{"endpoint", "the listener, or for a client the destination, of most of them"},
		{"tcp_fin_timeout", "the sysctl, in seconds"},
	}, descriptorTerms...),
	Advice: "Look at the peer: it holds these connections in CLOSE_WAIT (on its host: tcptrace why). For half-closes, let our process" +
		" set a time limit after shutdown(SHUT_WR) and then close(). For orphans a lower tcp_fin_timeout frees them earlier.",
	Cost:   "With a low tcp_fin_timeout a peer that is slow to close, and still sends, meets a RST.",
	More:   "tcptrace snapshot --pid PID --state FIN_WAIT2",
	Limits: "An orphan that is older than the trace looks like a half-close; where tcp_fin_timeout is above 60 s every orphan does.",
	begin: func(e *Engine, r *Rule) watcher {
		return newStuck(e, r, tcp.FinWait2, finWait2After, finWait2Word, describeFinWait2Stuck).moves(finWait2Word)
	},
}

// finWait2Word tells an orphan from a half-close, which becomes an orphan where
// the process closes.
func finWait2Word(s *stay) string {
	if s.orphan || s.ranOut {
		return orphanWord
	}
	return halfCloseWord
}

func describeFinWait2Stuck(e *Engine, x *entry[held], f *Finding) {
	h := &x.data
	age := h.age(e.now)
	v := (*figures)(&f.Evidence)
	f.Severity = Info
	v.word("kind", x.key.word)
	if x.key.word == orphanWord {
		x.withdrawn = x.peer != nil && x.peer.leaks
		f.Withdrawn = x.withdrawn
		if x.count >= finWait2Many && (x.process == nil || x.count*finWait2Share >= x.process.ended) {
			f.Severity = Warning
		}
		f.Summary = connections(x.count) + " closed by our side and not by the peer: orphans in FIN_WAIT2, " +
			digits(h.ranOut) + " ended by tcp_fin_timeout"
		f.Cause = "our process closed, and the peer's acknowledged the FIN but does not close"
	} else {
		if x.count >= finWait2Many || age >= finWait2Old {
			f.Severity = Warning
		}
		f.Summary = connections(x.count) + " half-closed by our side, in FIN_WAIT2 for up to " + span(age) + "; " + digits(h.now) + " now"
		f.Cause = "our process has shut down its sending side and keeps the socket, and the peer does not close: nothing ends this"
	}
	v.some("timed_out", int64(h.ranOut))
	h.evidence(f, age)
	e.quote(f, f.NetNS, sysctlFinTimeout)
}

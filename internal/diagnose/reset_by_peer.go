package diagnose

import (
	"slices"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

var resetByPeer = Rule{
	Name:  "reset-by-peer",
	Short: "the peer reset the connection",
	Meaning: "A RST came from the other end, or from a firewall between. Our process meets ECONNRESET, or EPIPE on its next write. The" +
		" state says at which point: in ESTABLISHED the peer crashed, gave up or closed with data unread; in CLOSE_WAIT or LAST_ACK it" +
		" closed for good while we still had something to say.",
	When: "A RST came for a connection of the process; one that answers a SYN is connect-refused. Where the other end is on this host, its" +
		" own finding says why, if there is a rule about that, and this is information." + resetWhen,
	Evidence: append([]Term{{"why", "the cause, where the other end is on this host"}}, resetEvidence...),
	Advice: "Look at the peer: its log, or tcptrace why on its host, says which of its processes reset and why. Many at the same age of a" +
		" connection point to a time limit in a proxy or a firewall.",
	More: "tcptrace watch --pid PID --kind reset",
	begin: func(e *Engine, r *Rule) watcher {
		return newReset(e, r, func(c *conn.Change) (string, bool) {
			if c.Kind != conn.ResetReceived || c.Conn == nil || c.Event.Old == tcp.SynSent {
				return "", false
			}
			switch c.Reset.Cause {
			case conn.ResetByPeer, conn.ResetCauseUnknown, conn.ResetCauseNone:
				return "", true // nobody here knows why
			}
			return c.Reset.Cause.String(), true
		}, describeResetByPeer)
	},
	Limits: "A RST that the network made up looks like the peer's, if the peer is on another host.",
}

// named reports whether a rule has that name.
func (e *Engine) named(name string) bool {
	return slices.ContainsFunc(e.rules, func(r *Rule) bool { return r.Name == name })
}

func describeResetByPeer(e *Engine, x *entry[resets], f *Finding) {
	f.Summary = connections(x.count) + " reset by the peer, in " + stateWords(&x.data.states) + share(x)
	f.Cause = "the peer, or a firewall between, sent a RST"
	switch {
	case x.key.word == "":
		return
	case x.data.cause == conn.ResetFirewall:
		f.Cause = "a firewall on this host sent a RST: the other end, which is here too, did not"
	default:
		if e.named(x.key.word) {
			f.Severity = Info
		}
		f.Cause = "the other end is on this host; there it is " + x.key.word
	}
	(*figures)(&f.Evidence).word("why", x.key.word)
}

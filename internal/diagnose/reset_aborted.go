package diagnose

import (
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

var resetAborted = Rule{
	Name:  "reset-aborted",
	Short: "the connection was killed from outside (ss -K, a tool), or by the kernel at a limit of the host",
	Meaning: "Another process had the kernel destroy the socket (SOCK_DESTROY: \"ss -K\", a firewall daemon, an operator). The owner" +
		" meets ECONNABORTED, the peer a RST. Or the kernel gave up a socket whose process had closed it, with a RST in place of what" +
		" was still to be sent: there were more such orphans than tcp_max_orphans, or TCP's sockets had more memory than tcp_mem.",
	When: "One connection ended so: a warning, as somebody did it on purpose and its owner does not know; or as what was in flight is" +
		" lost, and the next may be.",
	Evidence: append(resetEvidence[:len(resetEvidence):len(resetEvidence)],
		Term{"tcp_max_orphans", "the sysctl of the host, where that was the limit"},
		Term{"tcp_mem", "likewise, in pages: below the first figure no pressure, above the last the kernel gives up"}),
	Advice: "Ask whoever runs the process named as the actor. If it is a tool that ends idle or blocked connections, see its rules.",
	More:   "tcptrace conns --pid PID",
	begin: func(e *Engine, r *Rule) watcher {
		return newReset(e, r, pickAborted, func(e *Engine, x *entry[resets], f *Finding) {
			f.Severity = Warning
			if limit, ok := hostLimits[x.key.word]; ok {
				limit.describe(e, x, f)
				return
			}
			f.Summary = connections(x.count) + " killed from outside"
			f.Cause = "another process had the kernel destroy the socket, as \"ss -K\" does"
		})
	},
}

// pickAborted picks what others than the two ends have ended. The word is the
// host's limit, if that was it.
func pickAborted(c *conn.Change) (word string, ok bool) {
	switch {
	case c.Kind == conn.Transition:
		return "", c.Conn.End == conn.EndAborted && c.Conn.Err == event.ECONNABORTED
	case c.Kind != conn.ResetSent:
		return "", false
	case c.Reset.Cause == conn.ResetAborted:
		return "", true
	}
	word = c.Reset.Cause.String()
	_, ok = hostLimits[word]
	return word, ok
}

// A hostLimit is one at which the kernel gives up sockets that were closed.
type hostLimit struct {
	sysctl                       string
	cause, advice, cost, command string
}

// hostLimits are by the word of the RST's cause.
var hostLimits = map[string]hostLimit{
	conn.ResetOrphanLimit.String(): {
		sysctl: sysctlMaxOrphans,
		cause: "the host has more sockets that their processes have closed, and whose peers have not acknowledged all, than" +
			" tcp_max_orphans: the kernel gives up those that are closed then, and with them what was not sent yet",
		advice: "See which peers do not acknowledge (fin-wait1-stuck, last-ack-stuck): they make the orphans. Lower tcp_orphan_retries" +
			" to be rid of those earlier, or raise tcp_max_orphans.",
		cost:    "Each orphan may hold some 64 KiB of kernel memory that cannot be swapped.",
		command: "ss -s; cat /proc/net/sockstat",
	},
	conn.ResetMemoryLimit.String(): {
		sysctl: sysctlMem,
		cause: "TCP's sockets have more memory than the last figure of tcp_mem, in pages: the kernel gives up those that their processes" +
			" have closed, and with them what was not sent yet",
		advice: "Look for the sockets that hold it: those whose process does not read (Recv-Q) or whose peer does not (Send-Q). Lower" +
			" tcp_rmem and tcp_wmem, or raise tcp_mem.",
		cost:    "A higher tcp_mem takes the memory from all else: it is not swapped.",
		command: "ss -tnm; cat /proc/net/sockstat",
	},
}

func (l hostLimit) describe(e *Engine, x *entry[resets], f *Finding) {
	short := shortName(l.sysctl)
	f.Summary = connections(x.count) + " reset by the kernel at the host's limit, " + short + share(x)
	f.Cause, f.Advice, f.Cost, f.More = l.cause, l.advice, l.cost, l.command
	e.quote(f, x.netns, l.sysctl)
}

package diagnose

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	closeWaitAfter    = 5 * time.Second
	closeWaitMany     = 3
	closeWaitOld      = time.Minute
	closeWaitCritical = 1000

	closeWaitManyOfPool = 10
	closeWaitOldOfPool  = 10 * time.Minute
)

var closeWaitLeak = Rule{
	Name:  "close-wait-leak",
	Short: "a process holds sockets in CLOSE_WAIT: the peer closed, the process does not",
	Meaning: "The peer has sent its FIN, and the kernel waits for the process to close its descriptor. Nothing but the process" +
		" can end that: CLOSE_WAIT has no timeout. Each such socket keeps a descriptor, memory and, in a client, a local port.",
	When: "A connection is in CLOSE_WAIT for 5 s. A process that reads its sockets answers a FIN within milliseconds; 5 s leave out" +
		" one that is busy for a moment. Of a server, one or two are information; three at once, or one for a minute, are a warning. A client's" +
		" pool often looks at its idle connections only when it needs one, and leaves a few: there ten at once, or one for ten minutes, are a" +
		" warning. 1,000 at once are critical: the usual limit of descriptors is 1,024.",
	Evidence: append([]Term{
		{"now", "connections that are in CLOSE_WAIT for 5 s or more, now"},
		{"peak", "the most at one time"},
		{"oldest_ns", "the longest time in CLOSE_WAIT"},
		{"peer", "the address that closed most of them"},
		{"endpoint", "the listener, or for a client the destination, of most of them"},
	}, descriptorTerms...),
	Advice: "Find where the process drops a connection without close(): an error path, a handler that hangs, a pool that never looks" +
		" at its idle connections. It must close when a read returns 0. Until that is mended, restart the process: no sysctl ends CLOSE_WAIT.",
	Cost:   "A restart cuts its other connections too; \"ss -K\" would close single ones, and the process meets errors on them.",
	More:   "tcptrace snapshot --pid PID --state CLOSE_WAIT",
	Limits: "A process that still sends after its peer has shut down its own side (a long download after a half-close) looks the same.",
	begin: func(e *Engine, r *Rule) watcher {
		return newStuck(e, r, tcp.CloseWait, closeWaitAfter, func(s *stay) string {
			if s.owner != nil {
				s.owner.leaks = true
			}
			return ""
		}, describeCloseWaitLeak)
	},
}

func describeCloseWaitLeak(e *Engine, x *entry[held], f *Finding) {
	h := &x.data
	age := h.age(e.now)
	many, old := closeWaitMany, closeWaitOld
	if 2*h.clients > x.count {
		many, old = closeWaitManyOfPool, closeWaitOldOfPool
	}
	f.Severity = Info
	switch {
	case h.peak >= closeWaitCritical:
		f.Severity = Critical
	case h.peak >= many || age >= old:
		f.Severity = Warning
	}
	f.Summary = connections(x.count) + " in CLOSE_WAIT for " + span(closeWaitAfter) + " or more, the longest " + span(age) +
		"; " + digits(h.now) + " now"
	f.Cause = "the peer closed and the process has not: it does not read, or does not close"
	h.evidence(f, age)
}

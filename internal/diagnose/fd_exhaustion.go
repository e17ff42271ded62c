package diagnose

import (
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

const (
	errNFile event.Errno = 23
	errMFile event.Errno = 24
)

var fdExhaustion = Rule{
	Name:  "fd-exhaustion",
	Short: "accept() fails with EMFILE or ENFILE",
	Meaning: "A connection is ready, and the process cannot take it: it has as many descriptors open as its limit allows (EMFILE), or" +
		" the whole host has (ENFILE). The connection stays in the accept queue, which fills up; clients are connected and get no answer.",
	When: "One accept() failed so: critical. Many programs then try again at once, in a loop that takes a whole core.",
	Evidence: []Term{
		{"errno", "EMFILE: the process's limit; ENFILE: the host's"},
		{"failed", "calls of accept() that failed so"},
		{"listener", "the address that it accepts on"},
	},
	Advice: "Look at what holds the descriptors (ls -l /proc/PID/fd). Many sockets in CLOSE_WAIT are a leak: mend that. Else raise the" +
		" limit: LimitNOFILE= of its systemd unit, or prlimit --nofile at run time; for ENFILE the sysctl fs.file-max.",
	Cost: "More descriptors are more memory; programs that use select() fail above 1,024.",
	More: "tcptrace snapshot --pid PID --summary",
	begin: func(e *Engine, r *Rule) watcher {
		w := &fdExhaustionWatcher{e: e}
		w.book = newBook(e, r, w.describe)
		return w
	},
	Limits: "It needs to see accept() return, by a tracepoint that costs every system call of the host some 50 ns (--no-failed-calls leaves it out).",
}

type fdExhaustionWatcher struct {
	e    *Engine
	book book[fdFailures]
}

type fdFailures struct{ listeners tally[netip.AddrPort] }

func (w *fdExhaustionWatcher) tick() {}

func (w *fdExhaustionWatcher) wants() wants { return wants{kinds: kindsOf(conn.Failed)} }

func (w *fdExhaustionWatcher) change(c *conn.Change) {
	if c.Kind != conn.Failed || c.Event.Op != event.OpAccept || c.Event.Err != errMFile && c.Event.Err != errNFile {
		return
	}
	p := w.e.task(&c.Event.Task)
	x := w.book.entry(key{who: p, word: c.Event.Err.String()}, p)
	if x == nil {
		return
	}
	x.note(w.e, c.Event.ID, c.Time)
	x.count += uint64(max(c.Event.Count, 1) - 1)
	local := c.Event.Local
	if c.Conn != nil && local.Port() == 0 {
		local = c.Conn.Local
	}
	if local.Port() != 0 {
		x.data.listeners.add(local)
	}
}

func (w *fdExhaustionWatcher) describe(x *entry[fdFailures], f *Finding) {
	f.Severity = Critical
	f.Summary = several(x.count, "accept()", "calls of accept()") + " failed with " + x.key.word
	f.Cause = "the process has no descriptor left: its limit (RLIMIT_NOFILE) is reached"
	if x.key.word == errNFile.String() {
		f.Cause = "the host has no descriptor left: fs.file-max is reached"
	}
	v := (*figures)(&f.Evidence)
	v.word("errno", x.key.word)
	v.count("failed", int64(x.count))
	if at, _ := topEndpoint(&x.data.listeners); at.IsValid() {
		v.word("listener", endpoint(at))
	}
}

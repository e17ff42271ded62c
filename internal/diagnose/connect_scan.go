package diagnose

import "github.com/tcptrace/tcptrace/internal/conn"

var connectScan = Rule{
	Name:  "connect-scan",
	Short: "one process tries many addresses or ports that do not answer or refuse",
	Meaning: "A process calls connect() for many different addresses and ports, and most attempts come to nothing. That is how a port" +
		" scanner or a worm looks; and a monitoring system, or a service discovery whose list is out of date.",
	When: "Within a minute, 20 different addresses and ports have refused a process or not answered for 3 s, and these are half of what" +
		" it tried or more: a warning. The findings connect-refused and connect-timeout of that process then give way to this one. A" +
		" client with a few dead backends stays below.",
	Evidence: []Term{
		{"targets", "different addresses and ports that failed, up to 4,096"},
		{"hosts", "different addresses among them"},
		{"tried", "calls of connect()"},
		{"refused", "of these, answered with a RST"},
		{"unanswered", "of these, without an answer"},
		{"connected", "of these, that succeeded"},
	},
	Advice: "See what the process is and who started it (ps -o pid,ppid,user,lstart,cmd -p PID). If nobody knows it, take the host off" +
		" the network before anything else. If it is a discovery or a monitor, mend its list of targets.",
	More: "tcptrace conns --pid PID",
	begin: func(e *Engine, r *Rule) watcher {
		w := &connectScanWatcher{e: e}
		w.book = newBook(e, r, w.describe)
		return w
	},
	Limits: "A scan with raw sockets makes no connections, so none is seen.",
}

type connectScanWatcher struct {
	e    *Engine
	book book[struct{}]
}

func (w *connectScanWatcher) wants() wants { return wants{kinds: kindsOf(conn.Ended)} }

func (w *connectScanWatcher) change(c *conn.Change) {
	if c.Kind != conn.Ended || c.Conn.Role != conn.Client {
		return
	}
	if p := w.e.process(&c.Conn.Owner); p.scanning() {
		if x := w.book.entry(key{who: p}, p); x != nil {
			x.note(w.e, c.Conn.ID, c.Time)
		}
	}
}

func (w *connectScanWatcher) tick() {
	for _, p := range w.e.attempts.scans {
		if w.book.entries[key{who: p}] != nil {
			continue
		}
		if x := w.book.entry(key{who: p}, p); x != nil {
			x.first, x.last = p.attempt.began, w.e.now
		}
	}
	w.book.touchAll()
}

func (w *connectScanWatcher) describe(x *entry[struct{}], f *Finding) {
	a := &x.key.who.attempt
	f.Severity = Warning
	f.Count = uint64(len(a.failed))
	f.Summary = digits(len(a.failed)) + " addresses and ports of " + several(len(a.hosts), "host", "hosts") + " tried in vain: " +
		digits(a.refused) + " refused, " + digits(a.silent) + " not answered, " + digits(a.succeeded) + " of " + digits(a.tried) + " connected"
	f.Cause = "one process tries address after address"
	v := (*figures)(&f.Evidence)
	v.count("targets", int64(len(a.failed)))
	v.count("hosts", int64(len(a.hosts)))
	v.count("tried", int64(a.tried))
	v.count("refused", int64(a.refused))
	v.count("unanswered", int64(a.silent))
	v.count("connected", int64(a.succeeded))
}

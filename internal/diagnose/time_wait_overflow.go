package diagnose

import (
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

var timeWaitOverflow = Rule{
	Name:  "time-wait-overflow",
	Short: "tcp_max_tw_buckets is reached: TIME_WAIT is skipped",
	Meaning: "The network namespace has as many sockets in TIME_WAIT as tcp_max_tw_buckets allows, so the kernel closes further ones at" +
		" once. If the last ACK was lost, the peer's FIN is then answered with a RST; and a late segment of the old connection could meet" +
		" a new one with the same addresses.",
	When: "One connection skipped TIME_WAIT: a warning. The limit is there against memory exhaustion and is not meant to be reached.",
	Evidence: []Term{
		{"skipped", "connections without their TIME_WAIT"},
		{"processes", "how many processes closed them; the one named closed most"},
		{"tcp_max_tw_buckets", "the sysctl, in sockets of the namespace"},
	},
	Advice: "Find out first why so many are closed here (time-wait-pressure, tcptrace snapshot --summary): use connections again, or let" +
		" the peer close first. Then raise net.ipv4.tcp_max_tw_buckets.",
	Cost:   "Each socket in TIME_WAIT takes some 250 bytes of kernel memory: 262,144 of them about 64 MB.",
	More:   "tcptrace snapshot --state TIME_WAIT --summary",
	Limits: "Not seen where the kernel shows no timewait sockets (tcptrace doctor).",
	begin: func(e *Engine, r *Rule) watcher {
		w := &timeWaitOverflowWatcher{e: e}
		w.book = newBook(e, r, w.describe)
		return w
	},
}

type timeWaitOverflowWatcher struct {
	e    *Engine
	book book[tally[*process]]
}

func (w *timeWaitOverflowWatcher) tick() {}

func (w *timeWaitOverflowWatcher) wants() wants { return wants{kinds: kindsOf(conn.Ended)} }

func (w *timeWaitOverflowWatcher) change(c *conn.Change) {
	if c.Kind != conn.Ended || c.Conn.End != conn.EndOverflow {
		return
	}
	x := w.book.entry(key{netns: c.Conn.ID.NetNS}, nil)
	if x == nil {
		return
	}
	p := w.e.process(&c.Conn.Closer)
	if p == nil {
		p = w.e.ownerOf(c.Conn)
	}
	if p != nil {
		x.data.add(p)
		x.process = topProcess(&x.data)
	}
	x.note(w.e, c.Conn.ID, c.Time)
}

func (w *timeWaitOverflowWatcher) describe(x *entry[tally[*process]], f *Finding) {
	f.Severity = Warning
	f.Summary = connections(x.count) + " closed without " + tcp.TimeWait.String() + ": tcp_max_tw_buckets is reached"
	f.Cause = "more connections are closed first by this side than the limit has room for"
	v := (*figures)(&f.Evidence)
	v.count("skipped", int64(x.count))
	v.count("processes", int64(len(x.data.counts)))
	w.e.quote(f, x.key.netns, sysctlMaxTimeWait)
}

package diagnose

import (
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const overflowCritical = 100

var acceptQueueOverflow = Rule{
	Name:  "accept-queue-overflow",
	Short: "a listener's accept queue is full",
	Meaning: "Connections are made faster than the process accepts them, and its queue is full. The kernel drops further SYNs and last" +
		" ACKs: clients wait for a second or more and try again, or take themselves for connected while the server knows nothing of them." +
		" With tcp_abort_on_overflow they are reset.",
	When: "One packet met a full accept queue: a warning, as some client lost at least a second by it. 100 are critical.",
	Evidence: []Term{
		{"full", "packets that met the full queue"},
		{"reset", "handshakes that tcp_abort_on_overflow ended by a RST"},
		{"queue_length", "connections that waited for accept(), at the last"},
		{"backlog", "the queue's limit: the less of listen()'s backlog and somaxconn"},
		{"clients", "addresses of clients, as far as counted"},
		{"somaxconn", "the sysctl"}, {"tcp_abort_on_overflow", "the sysctl"},
	},
	Advice: "Find out what keeps the process from accept(): a pause, a lock, a handler that runs in the accepting thread, no descriptor" +
		" left. If it is only bursts, raise the backlog in its listen() and net.core.somaxconn, and restart it. Leave tcp_abort_on_overflow at 0.",
	Cost: "A longer queue hides a slow process: its clients wait in it instead of being turned away.",
	More: "tcptrace snapshot --pid PID --state LISTEN",
	begin: func(e *Engine, r *Rule) watcher {
		w := &acceptOverflowWatcher{e: e}
		w.book = newBook(e, r, w.describe)
		return w
	},
	Limits: "Where the kernel gives no event of a full queue, only the handshakes are seen that tcp_abort_on_overflow resets.",
}

type acceptOverflowWatcher struct {
	e    *Engine
	book book[acceptOverflow]
}

type acceptOverflow struct {
	at          netip.AddrPort
	full, reset uint64
	queue       event.Queue
	clients     tally[netip.Addr]
}

func (w *acceptOverflowWatcher) tick() {}

func (w *acceptOverflowWatcher) wants() wants {
	return wants{kindsOf(conn.QueueFull), statesOf(tcp.SynRecv)}
}

func (w *acceptOverflowWatcher) change(c *conn.Change) {
	switch {
	case c.Kind == conn.QueueFull && !c.Event.Queue.SYN:
		x := w.find(c, c.Event.ID.NetNS, c.Event.Local)
		if x == nil {
			return
		}
		x.data.full += uint64(max(c.Event.Count, 1))
		x.data.queue = c.Event.Queue
		w.note(x, event.ID{NetNS: c.Event.ID.NetNS}, c, c.Event.Remote)
	case c.Kind == conn.Transition && c.New == tcp.Close && c.Old == tcp.SynRecv && c.Cause == event.CauseOverflow:
		x := w.find(c, c.Conn.ID.NetNS, c.Conn.Local)
		if x == nil {
			return
		}
		x.data.reset++
		w.note(x, c.Conn.ID, c, c.Conn.Remote)
	}
}

func (w *acceptOverflowWatcher) note(x *entry[acceptOverflow], id event.ID, c *conn.Change, client netip.AddrPort) {
	x.note(w.e, id, c.Time)
	x.count = max(x.data.full, x.data.reset)
	if at := (listenPort{id.NetNS, x.data.at.Port()}); len(w.e.overflown) < maxProcesses {
		w.e.overflown[at] = true
	}
	if client.IsValid() {
		x.data.clients.add(client.Addr().Unmap())
	}
}

// find returns the cause for the listener on local's port.
func (w *acceptOverflowWatcher) find(c *conn.Change, netns uint32, local netip.AddrPort) *entry[acceptOverflow] {
	p := w.e.listener(netns, local.Port())
	if c.Conn != nil && c.Conn.Owner.Known() {
		p = w.e.process(&c.Conn.Owner)
	}
	x := w.book.entry(key{netns: netns, at: netip.AddrPortFrom(anywhere, local.Port())}, p)
	if x == nil {
		return nil
	}
	if p != nil {
		x.process = p
	}
	if !x.data.at.IsValid() {
		x.data.at = local
	}
	return x
}

// anywhere stands for every address of the host.
var anywhere = netip.IPv4Unspecified()

func (w *acceptOverflowWatcher) describe(x *entry[acceptOverflow], f *Finding) {
	d := &x.data
	f.Severity = Warning
	if x.count >= overflowCritical {
		f.Severity = Critical
	}
	f.Summary = several(x.count, "packet", "packets") + " met a full accept queue at " + endpoint(d.at)
	f.Cause = "the process does not accept as fast as connections come"
	if d.queue.Limit > 0 {
		f.Cause += ": " + digits(d.queue.Length) + " wait, and the backlog is " + digits(d.queue.Limit)
	}
	v := (*figures)(&f.Evidence)
	v.some("full", int64(d.full))
	v.some("reset", int64(d.reset))
	if d.queue != (event.Queue{}) {
		v.count("queue_length", int64(d.queue.Length))
		v.count("backlog", int64(d.queue.Limit))
	}
	v.some("clients", int64(len(d.clients.counts)))
	w.e.quote(f, x.key.netns, sysctlSomaxconn, sysctlAbort)
}

package diagnose

import (
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A rareWatcher is a rule about a transition that is worth telling, and no
// more.
type rareWatcher struct {
	e        *Engine
	book     book[tally[netip.Addr]]
	from, to tcp.State
}

func newRare(e *Engine, r *Rule, from, to tcp.State, what, cause string) *rareWatcher {
	w := &rareWatcher{e: e, from: from, to: to}
	w.book = newBook(e, r, func(x *entry[tally[netip.Addr]], f *Finding) {
		f.Severity = Info
		f.Summary = connections(x.count) + " " + what
		f.Cause = cause
		v := (*figures)(&f.Evidence)
		v.count("connections", int64(x.count))
		if a, _ := topAddr(&x.data); a.IsValid() {
			v.word("peer", a.String())
		}
	})
	return w
}

func (w *rareWatcher) tick() {}

func (w *rareWatcher) wants() wants { return wants{states: statesOf(w.to)} }

func (w *rareWatcher) change(c *conn.Change) {
	if c.Kind != conn.Transition || c.Old != w.from || c.New != w.to {
		return
	}
	p := w.e.ownerOf(c.Conn)
	k := key{who: p}
	if p == nil {
		k.netns = c.Conn.ID.NetNS
	}
	if x := w.book.entry(k, p); x != nil {
		x.data.add(c.Conn.Remote.Addr().Unmap())
		x.note(w.e, c.Conn.ID, c.Time)
	}
}

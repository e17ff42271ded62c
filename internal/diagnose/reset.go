package diagnose

import (
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// What the rules about a RST have in common.

const (
	resetMany  = 10
	resetShare = 5 // percent of the process's connections that ended
	// maxSeen bounds the connections that are remembered so that a second RST
	// of one is not counted.
	maxSeen = 4096
)

const resetWhen = " Single ones are information: they happen on any host. Ten that are 5% of the process's connections that ended are a" +
	" warning."

var resetEvidence = []Term{
	{"connections", "how many were reset so"},
	{"of_ended", "how many connections of the process ended at all"},
	{"states", "the states that they were in"},
	{"inferred", "of these, where the kernel's reason leaves more than one cause; absent where none"},
	{"peer", "the address at the other end of most of them"},
	{"endpoint", "the listener, or for a client the destination, of most of them"},
}

// A resetWatcher is a rule about a RST of one cause. It counts each connection
// once.
type resetWatcher struct {
	e    *Engine
	book book[resets]
	pick func(*conn.Change) (word string, ok bool)

	seen map[event.ID]bool
	ring []event.ID
	next int
}

type resets struct {
	states   tally[tcp.State]
	remotes  tally[netip.Addr]
	at       tally[netip.AddrPort]
	peers    tally[*process]
	actors   tally[*process]
	inferred uint64
	cause    conn.ResetCause
}

// newReset makes one of what pick picks, whose word tells causes of one process
// apart.
func newReset(e *Engine, r *Rule, pick func(*conn.Change) (string, bool), describe func(*Engine, *entry[resets], *Finding)) *resetWatcher {
	w := &resetWatcher{e: e, pick: pick, seen: map[event.ID]bool{}}
	w.book = newBook(e, r, func(x *entry[resets], f *Finding) {
		w.evidence(x, f)
		describe(e, x, f)
	})
	return w
}

// sentFor picks the RSTs sent for a cause.
func sentFor(cause conn.ResetCause) func(*conn.Change) (string, bool) {
	return func(c *conn.Change) (string, bool) {
		return "", c.Kind == conn.ResetSent && c.Reset.Cause == cause
	}
}

func (w *resetWatcher) tick() {}

func (w *resetWatcher) wants() wants {
	return wants{kindsOf(conn.ResetSent, conn.ResetReceived), statesOf(tcp.Close)}
}

func (w *resetWatcher) change(c *conn.Change) {
	word, ok := w.pick(c)
	if !ok {
		return
	}
	var who conn.Connection // what is known of it
	if c.Conn != nil {
		who = conn.Connection{ID: c.Conn.ID, Local: c.Conn.Local, Remote: c.Conn.Remote, Role: c.Conn.Role, Owner: c.Conn.Owner, State: c.Conn.State}
	} else {
		who = conn.Connection{ID: c.Event.ID, Local: c.Event.Local, Remote: c.Event.Remote}
	}
	if !w.first(who.ID) {
		return
	}
	p := w.e.ownerOf(&who)
	k := key{who: p, word: word}
	if p == nil {
		k.netns = who.ID.NetNS
	}
	x := w.book.entry(k, p)
	if x == nil {
		return
	}
	w.add(x, c, &who)
	x.note(w.e, who.ID, c.Time)
}

// first reports whether no RST of the connection was counted yet.
func (w *resetWatcher) first(id event.ID) bool {
	if id.Cookie == 0 {
		return true
	}
	if w.seen[id] {
		return false
	}
	w.seen[id] = true
	if len(w.ring) < maxSeen {
		w.ring = append(w.ring, id)
		return true
	}
	delete(w.seen, w.ring[w.next])
	w.ring[w.next] = id
	w.next = (w.next + 1) % maxSeen
	return true
}

func (w *resetWatcher) add(x *entry[resets], c *conn.Change, who *conn.Connection) {
	d := &x.data
	d.cause = c.Reset.Cause
	d.states.add(stateBefore(c))
	d.remotes.add(who.Remote.Addr().Unmap())
	if who.Role == conn.Client {
		d.at.add(who.Remote)
	} else {
		d.at.add(who.Local)
	}
	if c.Reset.Inferred {
		d.inferred++
	}
	if p := w.e.process(&c.Reset.PeerOwner); p != nil {
		d.peers.add(p)
		x.peer = topProcess(&d.peers)
	}
	task := c.Task
	if c.Kind == conn.ResetReceived {
		task = c.Reset.PeerActor
	}
	if p := w.e.task(&task); p != nil && p != x.key.who && (x.peer == nil || p != x.peer) {
		d.actors.add(p)
		x.actor = topProcess(&d.actors)
	}
}

// stateBefore returns the state in which a RST met its connection: close()
// reports its RST when the state is CLOSE already.
func stateBefore(c *conn.Change) tcp.State {
	if c.Event != nil && c.Event.Old.Valid() && c.Event.Old != tcp.Close {
		return c.Event.Old
	}
	if c.Conn != nil && len(c.Conn.Spans) > 0 {
		return c.Conn.Spans[len(c.Conn.Spans)-1].State
	}
	return tcp.Close
}

func (w *resetWatcher) evidence(x *entry[resets], f *Finding) {
	d := &x.data
	var ended uint64
	if x.process != nil {
		ended = max(x.process.ended, x.count)
	}
	f.Severity = Info
	if x.count >= resetMany && x.count*100 >= ended*resetShare {
		f.Severity = Warning
	}
	v := (*figures)(&f.Evidence)
	v.count("connections", int64(x.count))
	v.some("of_ended", int64(ended))
	v.word("states", stateWords(&d.states))
	v.some("inferred", int64(d.inferred))
	if a, _ := topAddr(&d.remotes); a.IsValid() {
		v.word("peer", a.String())
	}
	if at, _ := topEndpoint(&d.at); at.IsValid() {
		v.word("endpoint", endpoint(at))
	}
}

// stateWords spells a tally of states, in the order of a connection's life.
func stateWords(t *tally[tcp.State]) (words string) {
	for _, s := range tcp.States() {
		if n := t.counts[s]; n > 0 {
			if words != "" {
				words += " "
			}
			words += s.String() + "=" + digits(n)
		}
	}
	return words
}

// share spells how much of a process's connections these are.
func share(x *entry[resets]) string {
	if x.process == nil || x.process.ended == 0 {
		return ""
	}
	return ", " + percent(x.count, max(x.process.ended, x.count)) + " of those that the process ended"
}

package diagnose

import (
	"math/bits"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// wants are the changes that a watcher takes in.
type wants struct {
	kinds  kinds  // all of these kinds
	states states // and what tells of a connection that is in one of these, or leaves or enters it
}

type (
	kinds  uint32 // a set of conn.ChangeKind
	states uint16 // a set of tcp.State
)

func kindsOf(all ...conn.ChangeKind) (set kinds) {
	for _, k := range all {
		set |= 1 << k
	}
	return set
}

func statesOf(all ...tcp.State) (set states) {
	for _, s := range all {
		set |= 1 << s
	}
	return set
}

// tellStates are the kinds of changes that tell of a connection's state.
var tellStates = kindsOf(conn.Transition, conn.Corrected, conn.Found, conn.Owned, conn.Orphaned)

// A route knows, of each change, the watchers that take it in: a set, by their
// places.
type route struct {
	byKind  [32]uint32
	byState [tcp.NumStates]uint32
}

func (r *route) add(place int, w wants) {
	for k := range r.byKind {
		if w.kinds&(1<<k) != 0 {
			r.byKind[k] |= 1 << place
		}
	}
	for s := range r.byState {
		if w.states&(1<<s) != 0 {
			r.byState[s] |= 1 << place
		}
	}
}

// of yields the places of the watchers that take in c, in order.
func (r *route) of(c *conn.Change) (set uint32) {
	set = r.byKind[c.Kind%32]
	if tellStates&(1<<c.Kind) != 0 {
		set |= r.state(c.Conn.State) | r.state(c.Old) | r.state(c.New)
	}
	return set
}

func (r *route) state(s tcp.State) uint32 {
	if s < tcp.NumStates {
		return r.byState[s]
	}
	return 0
}

// pass hands c to the watchers that take it in, in the order of the rules.
func (e *Engine) pass(c *conn.Change) {
	for set := e.route.of(c); set != 0; set &= set - 1 {
		e.watchers[bits.TrailingZeros32(set)].change(c)
	}
}

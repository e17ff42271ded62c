package conn

import (
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
)

// A RST between two sockets of this host is two facts, and either may come
// first: on loopback the kernel reports one received before it reports it sent
// (its tracepoint follows the transmission), and an answer to a segment is
// reported before it is sent. The receiver's waits for the sender's as a doubt;
// the sender's is remembered here.

const (
	// maxResets is the number of RSTs sent that are remembered.
	maxResets = 1024
	// maxListeners is the number of closed listeners that are remembered.
	maxListeners = 16
	// flight is how long a RST may be on its way between two sockets of a host.
	flight = event.Time(10 * time.Second)
)

// resets remembers what was lately sent, for those who will receive it, and who
// lately closed a listener.
type resets struct {
	sent   []sentReset // a ring
	next   int
	byEnds map[endpoints]int // of those that nobody has received yet

	closed     []closedListener // a ring
	nextClosed int
}

// endpoints are the addresses of a RST, the sender's first.
type endpoints struct {
	local, remote netip.AddrPort
}

type sentReset struct {
	ends  endpoints
	netns uint32
	since event.Time // it was not sent before
	told  Reset      // as the receiver is told it
}

type closedListener struct {
	netns uint32
	local netip.AddrPort
	time  event.Time
	task  event.Task
}

// tell lets the receiver of a RST know who sent it, now or when it comes.
func (t *Tracker) tell(peer *record, s sentReset) {
	if peer.waitsFor(&s) {
		d := peer.doubt
		d.told = s.told
		if d.close.Kind != 0 {
			t.settle(d)
		}
		return
	}
	if whole(s.ends.local) && whole(s.ends.remote) {
		t.resets.remember(s)
	}
}

// waitsFor reports whether r, which may be nil, has received a RST that may be s.
func (r *record) waitsFor(s *sentReset) bool {
	if r == nil || r.doubt == nil {
		return false
	}
	d := r.doubt
	return d.reset.Kind != 0 && !d.told.PeerKnown && s.since <= d.reset.Time
}

func (q *resets) remember(s sentReset) {
	if q.byEnds == nil {
		q.byEnds = map[endpoints]int{}
	}
	if len(q.sent) < maxResets {
		q.sent = append(q.sent, sentReset{})
	}
	old := &q.sent[q.next]
	if i, ok := q.byEnds[old.ends]; ok && i == q.next {
		delete(q.byEnds, old.ends)
	}
	*old = s
	q.byEnds[s.ends] = q.next
	q.next = (q.next + 1) % maxResets
}

// take returns what is known of the sending of a RST that r receives.
func (q *resets) take(r *record, ev *event.Event) (told Reset, ok bool) {
	key := endpoints{r.Remote, r.Local}
	i, ok := q.byEnds[key]
	if !ok {
		return Reset{}, false
	}
	s := &q.sent[i]
	switch {
	case s.netns != r.ID.NetNS && r.Local.Addr().IsLoopback():
		return Reset{}, false // another namespace's
	case ev.Time-s.since > flight+patience, r.OpenedKnown && s.since+patience < r.Opened:
		return Reset{}, false // another connection's
	}
	delete(q.byEnds, key)
	return s.told, true
}

// listenerClosed remembers who closed a listener.
func (q *resets) listenerClosed(r *record, ev *event.Event) {
	c := closedListener{r.ID.NetNS, r.Local, ev.Time, ev.Task}
	if len(q.closed) < maxListeners {
		q.closed = append(q.closed, c)
		return
	}
	q.closed[q.nextClosed] = c
	q.nextClosed = (q.nextClosed + 1) % maxListeners
}

// closerOf returns the process that closed the listener of r just before at.
func (q *resets) closerOf(r *record, at event.Time) event.Task {
	best := closedListener{}
	for _, c := range q.closed {
		if c.netns == r.ID.NetNS && c.local.Port() == r.Local.Port() && c.time <= at && c.time > best.time {
			best = c
		}
	}
	return best.task
}

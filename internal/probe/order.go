package probe

import (
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
)

// settle is how long an event may take from its time stamp to its place in
// the ring, an interrupt between the two included.
const settle = time.Millisecond

// An order puts events, which come from several CPUs, in order of time. It
// keeps the newest back until no older one can be on its way.
type order struct {
	buffer []event.Event
	spare  []event.Event // takes the place of buffer when events are kept
	index  []int32       // of buffer, in order of time once sorted
	newest event.Time    // of those from the ring: what is still in it is later
	last   event.Time    // the latest of all
	sorted bool
}

// next returns room for one more event. The caller fills it and calls added or
// merged, or leaves it.
func (o *order) next() *event.Event {
	n := len(o.buffer)
	if n == cap(o.buffer) {
		o.buffer = append(o.buffer, event.Event{})
	}
	o.buffer = o.buffer[:n+1]
	ev := &o.buffer[n]
	o.buffer = o.buffer[:n]
	return ev
}

// added takes the event of the last call of next, which came from the ring.
func (o *order) added() {
	o.newest = max(o.newest, o.take())
}

// merged takes the event of the last call of next, which came from elsewhere:
// it says nothing of how far the ring has been read.
func (o *order) merged() { o.take() }

func (o *order) take() event.Time {
	n := len(o.buffer)
	o.buffer = o.buffer[:n+1]
	o.index = append(o.index, int32(n))
	at := o.buffer[n].Time
	o.sorted = o.sorted && at >= o.last
	o.last = max(o.last, at)
	return at
}

// release hands over, in order of time, the events up to the horizon.
func (o *order) release(horizon event.Time, handle event.Handler) {
	if !o.sorted {
		slices.SortStableFunc(o.index, func(a, b int32) int {
			return int(o.buffer[a].Time.Sub(o.buffer[b].Time))
		})
	}
	done := 0
	for ; done < len(o.index); done++ {
		ev := &o.buffer[o.index[done]]
		if ev.Time > horizon {
			break
		}
		handle(ev)
	}
	o.sorted = true
	if done > 0 {
		o.keep(o.index[done:])
	}
}

// keep leaves only the events that left names, in their order.
func (o *order) keep(left []int32) {
	o.spare = o.spare[:0]
	for _, at := range left {
		o.spare = append(o.spare, o.buffer[at])
	}
	o.buffer, o.spare = o.spare, o.buffer
	o.index = o.index[:0]
	for i := range o.buffer {
		o.index = append(o.index, int32(i))
	}
}

package conn

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
)

// Where nothing tells of an episode's end, quiet does: had what was sent again
// not been acknowledged, the retransmission timer would have run out. So each
// open episode has a deadline, which each segment sent again puts off.

// quiet holds the open episodes that have a deadline, as a heap by the deadline
// that each had when it was last put in its place. Putting one off does not move
// it: that is done when it comes up.
type quiet []*episode

// unknownRTO stands for a retransmission timeout that was not reported.
const unknownRTO = 3 * time.Second

// quietFor returns how long nothing may happen after a segment was sent again
// by a timer of rtoMS until it is certain to be acknowledged: the timer is
// doubled when it runs out, up to rtoMax, and may be late by an eighth (the
// granularity of the timer wheel).
func quietFor(rtoMS uint32) time.Duration {
	const (
		slack  = 50 * time.Millisecond
		rtoMax = 120 * time.Second // TCP_RTO_MAX
	)
	next := 2 * time.Duration(rtoMS) * time.Millisecond
	if rtoMS == 0 {
		next = 2 * unknownRTO
	}
	next = min(next, rtoMax)
	return next + next/8 + slack
}

// put adds e, whose deadline is set.
func (q *quiet) put(e *episode) {
	e.key, e.place = e.deadline, len(*q)
	*q = append(*q, e)
	q.up(e.place)
}

// remove takes e out, if it is in.
func (q *quiet) remove(e *episode) {
	i := e.place
	if i < 0 {
		return
	}
	e.place = -1
	last := len(*q) - 1
	moved := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	if moved == e {
		return
	}
	(*q)[i], moved.place = moved, i
	q.down(i)
	q.up(moved.place)
}

// due returns the episode whose deadline passed first, of those that passed
// before now, or nil.
func (q *quiet) due(now event.Time) *episode {
	for len(*q) > 0 && (*q)[0].key < now {
		e := (*q)[0]
		if e.key == e.deadline {
			return e
		}
		e.key = e.deadline
		q.down(0)
	}
	return nil
}

func (q quiet) less(i, j int) bool {
	a, b := q[i], q[j]
	return a.key < b.key || a.key == b.key && a.number < b.number
}

func (q quiet) swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

func (q quiet) up(i int) {
	for i > 0 && q.less(i, (i-1)/2) {
		q.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (q quiet) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(q); child++ {
			if q.less(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		q.swap(i, least)
		i = least
	}
}

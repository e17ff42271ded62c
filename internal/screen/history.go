package screen

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// historySeconds is how much of the past the strip of states shows.
const historySeconds = 60

// history counts sockets in each state, now and in each second of the last
// minute.
type history struct {
	now     [tcp.NumStates]int32
	entered [tcp.NumStates]uint32 // transitions into it, in the second under way
	most    [tcp.NumStates]int32  // at one time, in the second under way

	second  int64 // the one under way, of event time; 0: none yet
	seconds [historySeconds]sample
	next    int
	filled  int
}

// A sample is of one second.
type sample struct {
	most    [tcp.NumStates]int32  // at one time
	last    [tcp.NumStates]int32  // at its end
	entered [tcp.NumStates]uint32 // transitions into it
}

func (h *history) enter(s tcp.State) {
	h.now[s]++
	h.most[s] = max(h.most[s], h.now[s])
	h.entered[s]++
}

func (h *history) leave(s tcp.State) { h.now[s]-- }

// advance makes samples of the seconds that are over.
func (h *history) advance(now event.Time) {
	second := int64(now) / int64(time.Second)
	if h.second == 0 {
		h.second = second
		return
	}
	if second-h.second > historySeconds { // nothing was heard for long
		h.second = second - historySeconds
	}
	for ; h.second < second; h.second++ {
		h.seconds[h.next] = sample{most: h.most, last: h.now, entered: h.entered}
		h.next = (h.next + 1) % historySeconds
		h.filled = min(h.filled+1, historySeconds)
		h.most, h.entered = h.now, [tcp.NumStates]uint32{}
	}
}

// past returns a second that is over, the oldest first.
func (h *history) past(i int) *sample {
	return &h.seconds[(h.next+historySeconds-h.filled+i)%historySeconds]
}

// A StateCount is one state in the strip.
type StateCount struct {
	State tcp.State
	Now   int // sockets in it
	// Change is Now less what it was a minute ago, or when the first second of
	// the trace was over. Known is false before that.
	Change int
	Known  bool
	// PerSecond counts transitions into it in the last second that is over.
	PerSecond int
	// Past is the most at one time in each second of the last minute that is
	// over, the oldest first; for CLOSE, the transitions into it.
	Past []int32
}

// strip returns all eleven states, in the order of a connection's life.
func (h *history) strip() []StateCount {
	states, n := tcp.States(), h.filled
	all, pasts := make([]StateCount, 0, len(states)), make([]int32, len(states)*n)
	for i, s := range states {
		c := StateCount{State: s, Now: int(h.now[s]), Past: pasts[i*n : (i+1)*n]}
		for k := range c.Past {
			if s == tcp.Close {
				c.Past[k] = int32(h.past(k).entered[s])
			} else {
				c.Past[k] = h.past(k).most[s]
			}
		}
		if n > 0 {
			c.Known = true
			c.Change = c.Now - int(h.past(0).last[s])
			c.PerSecond = int(h.past(n - 1).entered[s])
		}
		all = append(all, c)
	}
	return all
}

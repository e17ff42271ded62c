package perfetto

import (
	"slices"
	"sort"

	"github.com/tcptrace/tcptrace/internal/event"
)

// Numbers that stand for no process and no thread of Linux: its largest pid is
// 4,194,304 (PID_MAX_LIMIT in include/linux/threads.h).
const (
	nobody    = 1<<22 + 1 // the process of connections whose process is not known
	counters  = 1<<22 + 2 // holds the counters
	strays    = 1<<22 + 3 // the track of RSTs of no connection, in that
	firstLane = 1<<22 + 1000
)

// A process has lanes: connections that live at one time lie in different ones.
type process struct {
	comm  [16]byte
	lanes []lane // the one whose last connection ended first comes first
}

type lane struct {
	tid    int64
	number int        // of the process's lanes, from 1
	until  event.Time // the end of the last connection in it
}

// place finds room for a connection from begin to end, and says in which lane,
// and whether that is a new one. Connections come in the order of their ends,
// nearly: the lane that wastes least is the one whose last connection ended last,
// but before this one began.
func (p *process) place(begin, end event.Time, next *int64) (l lane, made bool) {
	after := sort.Search(len(p.lanes), func(i int) bool { return p.lanes[i].until > begin })
	if after > 0 {
		l = p.lanes[after-1]
		p.lanes = slices.Delete(p.lanes, after-1, after)
	} else {
		l, made = lane{tid: *next, number: len(p.lanes) + 1}, true
		*next++
	}
	l.until = max(begin, end)
	at := sort.Search(len(p.lanes), func(i int) bool { return p.lanes[i].until > l.until })
	p.lanes = slices.Insert(p.lanes, at, l)
	return l, made
}

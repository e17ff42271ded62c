package report

import (
	"cmp"
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
	"github.com/tcptrace/tcptrace/internal/timeline"
)

// The reasons to show a connection, the best first.
const (
	found  = iota // a finding names it
	broken        // it ended otherwise than by two FINs
	stuck         // it is, or was for long, in a state that TCP only passes through
	resent        // something was sent again
	usual         // nothing is the matter; of these the longest come first
	numInterests
)

// slow is how long a state that TCP only passes through may last before it is
// worth a look.
const slow = timeline.Slow

// passing reports whether TCP only passes through s.
func passing(s tcp.State) bool {
	switch s {
	case tcp.SynSent, tcp.SynRecv, tcp.FinWait1, tcp.FinWait2, tcp.Closing, tcp.CloseWait, tcp.LastAck:
		return true
	}
	return false
}

// interest says why r is worth showing, apart from findings.
func interest(r *timeline.Connection, now event.Time) int {
	if !r.IsOpen() && r.End != conn.EndFIN && r.End != conn.EndUnknown {
		return broken
	}
	until := r.Until(now)
	for i := range r.Spans {
		if s := &r.Spans[i]; passing(s.State) && stayed(s, until) >= slow {
			return stuck
		}
	}
	if len(r.Marks) > 0 {
		return resent
	}
	return usual
}

func stayed(s *conn.Span, until event.Time) time.Duration {
	if s.End == 0 {
		return max(until.Sub(s.Begin), 0)
	}
	return s.End.Sub(s.Begin)
}

// A choice is a connection that is shown, and why.
type choice struct {
	*timeline.Connection
	why int
}

func (c *choice) life(now event.Time) time.Duration { return c.Until(now).Sub(c.Opened) }

// pick chooses at most n connections: all that findings name, and then of each
// kind of interest in turn, so that a flood of one kind leaves room for others. It
// returns them by what they are of interest for, the longest of each first.
func pick(all []*timeline.Connection, findings []diagnose.Finding, now event.Time, n int) []choice {
	named := map[event.ID]bool{}
	for i := range findings {
		for _, id := range findings[i].Conns {
			named[id] = true
		}
	}
	var kinds [numInterests][]choice
	for _, r := range all {
		why := interest(r, now)
		if named[r.ID] && r.ID.Cookie != 0 {
			why = found
		}
		kinds[why] = append(kinds[why], choice{r, why})
	}
	for _, kind := range kinds {
		slices.SortStableFunc(kind, func(a, b choice) int { return -cmp.Compare(a.life(now), b.life(now)) })
	}
	var take [numInterests]int
	take[found] = min(n, len(kinds[found]))
	left := n - take[found]
	for more := true; more && left > 0; {
		more = false
		for kind := found + 1; kind < numInterests && left > 0; kind++ {
			if take[kind] < len(kinds[kind]) {
				take[kind]++
				left--
				more = true
			}
		}
	}
	var chosen []choice
	for kind, of := range kinds {
		chosen = append(chosen, of[:take[kind]]...)
	}
	return chosen
}

package assert

import (
	"math"
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A measure is a time that a connection spends on something, perhaps more than
// once.
type measure struct {
	name    string
	meaning string
	state   tcp.State // Unknown: another
	stays   func(c *conn.Change, add func(stay))
}

// A stay is one time measured.
type stay struct {
	length time.Duration
	bound  conn.Bound
	lasts  bool // it is not over
}

// least returns what the stay took at least, and most what it took at most.
func (s *stay) least() time.Duration {
	if s.bound == conn.AtMost || s.bound == conn.Unbound {
		return 0
	}
	return s.length
}

func (s *stay) most() time.Duration {
	if s.lasts || s.bound == conn.AtLeast || s.bound == conn.Unbound {
		return math.MaxInt64
	}
	return s.length
}

// measuredStates lists the states that are a time in a connection's life.
func measuredStates() (all []tcp.State) {
	for _, s := range tcp.States() {
		if s != tcp.Close && s != tcp.Listen {
			all = append(all, s)
		}
	}
	return all
}

var measures = append(stateMeasures(),
	measure{name: "handshake", meaning: "from the first SYN to ESTABLISHED, at either end", stays: handshake},
	measure{name: "accept_wait", meaning: "from ESTABLISHED until accept() returned it", stays: acceptWait},
	measure{name: "life", meaning: "from the first SYN to the end, TIME_WAIT apart", stays: life},
)

func stateMeasures() (all []measure) {
	for _, s := range measuredStates() {
		all = append(all, measure{name: s.String(), meaning: "each stay in " + s.String(), state: s, stays: func(c *conn.Change, add func(stay)) {
			for i := range c.Conn.Spans {
				if c.Conn.Spans[i].State == s {
					add(stayOf(&c.Conn.Spans[i], c.Time))
				}
			}
		}})
	}
	return all
}

func stayOf(s *conn.Span, now event.Time) stay {
	if s.End == 0 {
		return stay{length: max(now.Sub(s.Begin), 0), bound: s.Bound(), lasts: true}
	}
	return stay{length: s.End.Sub(s.Begin), bound: s.Bound()}
}

func handshake(c *conn.Change, add func(stay)) {
	var sum stay
	if c.Conn.SpansCut > 0 {
		return
	}
	for i := range c.Conn.Spans {
		s := &c.Conn.Spans[i]
		switch s.State {
		case tcp.SynSent, tcp.SynRecv:
			one := stayOf(s, c.Time)
			sum.length += one.length
			sum.bound = sum.bound.And(one.bound)
			sum.lasts = one.lasts
		case tcp.Established:
			if i > 0 {
				add(sum)
			}
			return
		}
	}
}

func acceptWait(c *conn.Change, add func(stay)) {
	if wait, ok := c.Conn.AcceptWait(); ok {
		add(stay{length: wait})
	}
}

func life(c *conn.Change, add func(stay)) {
	if len(c.Conn.Spans) == 0 {
		return
	}
	end := &c.Conn.Spans[len(c.Conn.Spans)-1]
	sum := stay{bound: conn.Exact}
	until := end.End
	switch {
	case end.State == tcp.TimeWait:
		until = end.Begin
	case until == 0:
		until, sum.lasts = max(c.Time, end.Begin), true
	case end.EndUnknown:
		sum.bound = conn.AtMost
	}
	if !c.Conn.OpenedKnown {
		sum.bound = sum.bound.And(conn.AtLeast)
	}
	sum.length = until.Sub(c.Conn.Opened)
	add(sum)
}

// A summary is one figure of many times.
type summary struct {
	name    string
	meaning string
	of      func(all []time.Duration, sum time.Duration) time.Duration
}

var summaries = []summary{
	{name: "max", meaning: "the longest", of: rank(1)},
	{name: "min", meaning: "the shortest", of: rank(0)},
	{name: "mean", meaning: "their mean", of: func(all []time.Duration, sum time.Duration) time.Duration { return sum / time.Duration(len(all)) }},
	{name: "total", meaning: "their sum", of: func(_ []time.Duration, sum time.Duration) time.Duration { return sum }},
	{name: "p50", meaning: "that which half of them do not exceed", of: rank(0.5)},
	{name: "p90", meaning: "that which 90 % do not exceed", of: rank(0.9)},
	{name: "p95", meaning: "95 %", of: rank(0.95)},
	{name: "p99", meaning: "99 %", of: rank(0.99)},
	{name: "p999", meaning: "99.9 %", of: rank(0.999)},
}

// rank is the nearest-rank percentile: the least of the times that a share of
// all does not exceed.
func rank(share float64) func([]time.Duration, time.Duration) time.Duration {
	return func(all []time.Duration, _ time.Duration) time.Duration {
		slices.Sort(all)
		// The product of a share such as 0.95 and a whole number is not exact.
		n := int(math.Ceil(share*float64(len(all)) - 1e-9))
		return all[max(n, 1)-1]
	}
}

//go:build linux

package lab

import (
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// How lives begin and end. A timewait socket that a story leaves behind ends
// with its namespace, so every path ends in CLOSE.
var (
	opened   = []tcp.State{tcp.Close, tcp.SynSent, tcp.Established}
	accepted = []tcp.State{tcp.Listen, tcp.SynRecv, tcp.Established}

	listening = names([]tcp.State{tcp.Close, tcp.Listen, tcp.Close})

	closesFirst  = []tcp.State{tcp.FinWait1, tcp.FinWait2, tcp.TimeWait, tcp.Close}
	closesSecond = []tcp.State{tcp.CloseWait, tcp.LastAck, tcp.Close}
)

// path joins parts of a life.
func path(parts ...[]tcp.State) []tcp.State { return slices.Concat(parts...) }

// A bracket holds the instants around a stay in a state, so that bounds of its
// length follow whatever the scheduler did.
type bracket struct {
	begunAfter, begunBefore time.Time
	endedAfter, endedBefore time.Time
}

// stay returns the bounds. A state whose begin may lie after its end's earliest
// instant lasts at least 0.
func (b bracket) stay(s tcp.State) Stay {
	return Stay{
		State: s.String(),
		Min:   max(0, b.endedAfter.Sub(b.begunBefore)),
		Max:   b.endedBefore.Sub(b.begunAfter),
	}
}

// atLeast returns a stay that the kernel's timer makes last for timeout, and
// that had ended by endedBefore.
func (b bracket) atLeast(timeout time.Duration, s tcp.State) Stay {
	return Stay{State: s.String(), Min: timeout, Max: b.endedBefore.Sub(b.begunAfter)}
}

package conn

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
)

// A LossEpisode is a time in which a connection had to send again: from the
// first sign of a loss to the moment at which all that was sent again is
// acknowledged, or to the connection's end.
type LossEpisode struct {
	// Begin is the first sign: a segment sent again, or the kernel's step into
	// Recovery or Loss, which is just before. Waited is how long a timer had to
	// run until then; 0 where no timer gave the sign, or its length is not
	// known, as that of a loss probe.
	Begin  event.Time
	Waited time.Duration

	Last event.Time // when a segment was last sent again
	End  event.Time // 0 while it lasts

	// EndKnown is false where nothing told of the end: it was at some time
	// after End, which is then Last, and before the timer would have run out
	// that nothing acknowledged would have left running.
	EndKnown bool

	Outcome Outcome
	Lost    LostWhat

	Classes  [NumClasses]uint32 // segments sent again, by class
	Segments uint32             // their sum
	FINs     uint32             // of these, those that carried the FIN
	Needless uint32             // segments that the peer reported to have had already (DSACK), at least

	// Undone is set where the kernel took its slowing down back: it found
	// that nothing had been lost.
	Undone bool

	// Chain is the order in which things were tried, what follows of the same
	// class at the same timeout as one link. ChainCut counts the links that
	// came after those for which there was room.
	Chain    []Link
	ChainCut uint32
}

// A Link is one step of an episode: Segments of a Class sent again, or tries to
// where the class is ClassUnsent. RTOms is
// the retransmission timeout in force, in ms; of a class that the timer itself
// caused it is what had just run out, so that a chain shows how it doubles. 0
// where it is not known.
type Link struct {
	Class    Class
	Segments uint32
	RTOms    uint32
}

// maxLinks bounds LossEpisode.Chain: a loss probe and all of tcp_retries2's
// default 15 timeouts, each with its own value, and some more.
const maxLinks = 20

// An Outcome says how a loss episode ended.
type Outcome uint8

const (
	OutcomeUnknown   Outcome = iota // the connection's end was not seen
	OutcomeOpen                     // it has not ended
	OutcomeRecovered                // all that was sent again is acknowledged
	OutcomeFailed                   // the connection ended before that
)

var outcomeNames = [...]string{OutcomeUnknown: "", OutcomeOpen: "open", OutcomeRecovered: "recovered", OutcomeFailed: "failed"}

// String returns the word that records use, or "" for OutcomeUnknown.
func (o Outcome) String() string { return outcomeNames[o] }

// A LostWhat says what the network lost. A sender cannot see it: it is inferred
// from what the peer reports to have received twice.
type LostWhat uint8

const (
	LostUnknown LostWhat = iota

	// LostData: the peer reported nothing twice, so it needed what was sent
	// again.
	LostData
	// LostACKs: the peer had all of it already. Acknowledgements were lost, or
	// were late.
	LostACKs
	// LostBoth: the peer had some of it already.
	LostBoth
)

var lostNames = [...]string{LostUnknown: "", LostData: "data", LostACKs: "acks", LostBoth: "both"}

// String returns the word that records use, or "" for LostUnknown.
func (l LostWhat) String() string { return lostNames[l] }

// Spurious reports whether none of what was sent again was needed.
func (e *LossEpisode) Spurious() bool { return e.Lost == LostACKs }

// TimeLost returns for how long the connection was held up until now, or until
// the episode's end: the timer that ran before the first sign included. exact
// is false where it was at least so long.
func (e *LossEpisode) TimeLost(now event.Time) (lost time.Duration, exact bool) {
	end := e.End
	if end == 0 {
		end = max(now, e.Last)
	}
	return e.Waited + max(end.Sub(e.Begin), 0), e.EndKnown
}

// add counts a segment sent again.
func (e *LossEpisode) add(class Class, segments, rtoMS uint32, at event.Time) {
	e.Last = max(e.Last, at)
	e.Classes[class] += segments
	e.Segments += segments
	segments = max(segments, 1)
	if n := len(e.Chain); n > 0 && e.Chain[n-1].Class == class && (e.Chain[n-1].RTOms == rtoMS || !class.timed()) {
		e.Chain[n-1].Segments += segments
		return
	}
	if len(e.Chain) == maxLinks {
		e.ChainCut++
		return
	}
	e.Chain = append(e.Chain, Link{class, segments, rtoMS})
}

// timed reports whether the retransmission timer causes c, so that each
// segment of it tells of another timeout.
func (c Class) timed() bool {
	switch c {
	case ClassRTO, ClassSYN, ClassSYNACK, ClassFIN, ClassUnsent:
		return true
	}
	return false
}

// Clone returns a copy that may be kept.
func (e *LossEpisode) Clone() *LossEpisode {
	c := *e
	c.Chain = append([]Link(nil), e.Chain...)
	return &c
}

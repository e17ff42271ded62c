package conn

import "github.com/tcptrace/tcptrace/internal/event"

// overBefore reports whether all that e sent again had been acknowledged, by
// what ev says, when ev's segment was sent again. Then that is of another
// episode, and the end of e was not told.
func (e *episode) overBefore(ev *event.Event) bool {
	x := &ev.Retransmission
	if len(e.Chain) == 0 || ev.Kind != event.Retransmit {
		return false
	}
	if recovering(e.stateAtLast) {
		return !recovering(x.CAState)
	}
	// Loss probes, which leave the kernel's state alone: what is first in the
	// queue now lies behind all of them.
	high := e.probeEnd
	if e.ranged && (!e.probed || after(e.high, high)) {
		high = e.high
	}
	return (e.ranged || e.probed) && x.Head && !after(high, x.Seq)
}

// cover notes which sequence numbers ev's segment has, which counts as n.
func (e *episode) cover(ev *event.Event, n uint32) {
	x := &ev.Retransmission
	end := x.Seq + x.Bytes
	if x.Flags&(flagSYN|flagFIN) != 0 {
		end++
	}
	if Trigger(ev) == ClassTLP {
		e.probe, e.probeEnd, e.probed = x.Seq, end, true
		return
	}
	if !e.ranged {
		e.low, e.high, e.ranged = x.Seq, x.Seq, true
	}
	switch {
	case after(e.low, x.Seq):
		e.low = x.Seq
		e.distinct += n
	case !after(e.high, x.Seq):
		e.distinct += n
	}
	if after(end, e.high) {
		e.high = end
	}
}

// hear notes what the kernel says beside the segment.
func (e *episode) hear(x *event.Retransmission) {
	if !e.dsacksKnown {
		e.dsacksKnown, e.dsacksAtFirst = true, x.DSACKs
	}
	e.dsacks = max(e.dsacks, x.DSACKs)
}

// judge infers what was lost.
func (e *episode) judge() {
	if e.dsacksKnown {
		e.Needless = e.dsacks - e.dsacksAtFirst
	}
	distinct := e.distinct
	if e.probed && (!e.ranged || after(e.low, e.probe) || !after(e.high, e.probe)) {
		distinct++
	}
	fin := e.Segments > 0 && e.FINs == e.Segments
	switch {
	case e.Undone || e.Needless > 0 && e.Needless >= distinct:
		e.Lost = LostACKs
	case e.Needless > 0:
		e.Lost = LostBoth
	case e.Outcome == OutcomeRecovered && e.told && e.Segments > e.Classes[ClassUnsent] && !fin &&
		e.Classes[ClassSYN]+e.Classes[ClassSYNACK] == 0:
		// A FIN that arrives twice may meet a timewait socket, and a SYN one
		// that has no options yet: neither reports it.
		e.Lost = LostData
	}
}

package diagnose

import (
	"slices"
	"time"
)

// What the rules about a FIN without an answer have in common.

const (
	finAfter = 5 * time.Second
	finMany  = 3
	finOld   = 30 * time.Second
)

const finWhen = "A connection is in this state for 5 s, or the kernel gave up on it. On a network that works it takes one round trip. The" +
	" kernel sends again after 0.2 s or more, and then after twice the time before: in 5 s at least four copies have had no answer. One or two" +
	" are information: peers vanish. Three at once, or three in all of which the kernel gave up on one, or one for 30 s, are a warning."

var finEvidence = append([]Term{
	{"now", "connections in the state for 5 s or more, now"},
	{"peak", "the most at one time"},
	{"oldest_ns", "the longest time in the state"},
	{"retransmits", "segments sent again in it; absent where there were none: then the peer's window is closed"},
	{"gave_up", "how many the kernel gave up on"},
	{"peer", "the address of most of them"},
	{"endpoint", "the listener, or for a client the destination, of most of them"},
	{"tcp_orphan_retries", "the sysctl; 0 means 8"},
}, slices.Concat(dropTerms, descriptorTerms)...)

func describeFin(e *Engine, x *entry[held], f *Finding, state, cause string) {
	h := &x.data
	age := h.age(e.now)
	f.Severity = Info
	if h.peak >= finMany || x.count >= finMany && h.ranOut > 0 || age >= finOld {
		f.Severity = Warning
	}
	f.Summary = connections(x.count) + " in " + state + " for up to " + span(age) + "; " +
		several(h.retransmits, "segment", "segments") + " sent again, " + digits(h.ranOut) + " given up, " + digits(h.now) + " there now"
	f.Cause = cause
	if h.retransmits == 0 {
		f.Cause += "; nothing was sent again, so the peer's window is closed: its process does not read"
	}
	v := (*figures)(&f.Evidence)
	v.some("retransmits", int64(h.retransmits))
	v.some("gave_up", int64(h.ranOut))
	h.evidence(f, age)
	tellDrops(f, &h.drops, "segment", "segments", x.count+h.retransmits)
	e.quote(f, f.NetNS, sysctlOrphanRetries)
}

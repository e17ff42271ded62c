package audit

import (
	"fmt"
	"slices"
)

// A Line compares one counter of one network namespace.
type Line struct {
	NetNS    uint32
	Counter  Counter
	Tcptrace int64 // what we counted
	Kernel   int64 // by how much the kernel's figure changed

	// Less and More say how much smaller or larger the kernel's figure may be
	// without anything being lost, and Why for what reasons.
	Less, More int64
	Why        []string
}

// Difference returns how much larger the kernel's figure is.
func (l *Line) Difference() int64 { return l.Kernel - l.Tcptrace }

// Equal reports whether both counted the same.
func (l *Line) Equal() bool { return l.Kernel == l.Tcptrace }

// Holds reports whether both counted the same, but for what cannot be known.
func (l *Line) Holds() bool {
	d := l.Difference()
	return d >= -l.Less && d <= l.More
}

// may widens the bounds.
func (l *Line) may(less, more int64, why string) {
	if less == 0 && more == 0 {
		return
	}
	l.Less += less
	l.More += more
	if !slices.Contains(l.Why, why) {
		l.Why = append(l.Why, why)
	}
}

// Compare returns a line for each counter that the kernel has. before is nil
// for a namespace that began after the trace: its figures began at 0.
func (t *Tally) Compare(netns uint32, before, after *Values) []Line {
	s := t.space(netns)
	s.finish()
	if before == nil {
		before = &Values{}
	}
	var lines []Line
	for _, c := range Counters() {
		if !after.known[c] {
			continue
		}
		l := Line{NetNS: netns, Counter: c, Tcptrace: s.count[c], Kernel: after.value[c] - before.value[c]}
		l.may(s.edge[c], s.edge[c], "it happened as the kernel's figures were read")
		l.Why = append(l.Why, s.doubt[c].why...)
		l.Less += s.doubt[c].less
		l.More += s.doubt[c].more
		t.known(&l, s, before, after)
		if t.lost > 0 && !l.Equal() {
			l.Why = append(l.Why, fmt.Sprintf("%d events were lost", t.lost))
		}
		lines = append(lines, l)
	}
	return lines
}

// known widens the bounds by what no event tells, but the kernel does.
func (t *Tally) known(l *Line, s *space, before, after *Values) {
	grown := func(c Counter) int64 { return after.value[c] - before.value[c] }
	switch l.Counter {
	case CurrEstab:
		if d := l.Difference(); d != 0 && d == -s.closeWaits {
			l.may(max(0, -d), max(0, d), "kernels before 6.11 leave CLOSE_WAIT out")
		}
	case TW, TWKilled:
		s.shortLived(l, grown(TW)-s.count[TW], grown(TWKilled)-s.count[TWKilled])
	case RetransSegs, TCPSynRetrans:
		if !t.unsent {
			l.may(0, grown(retransFail), "before Linux 6.18 a segment that could not be sent is not seen")
		}
	case OutRsts:
		l.may(0, grown(abortFailed), "for a RST that is counted there may be no memory")
	case TCPTimeouts:
		l.may(0, grown(TCPAbortOnMemory), "a timeout may end a socket for want of memory")
	case TCPAbortOnMemory:
		if d := l.Difference(); d > 0 {
			l.may(0, d, "an orphan that has sent nothing for a minute is ended for want of memory without a RST")
		}
	case TCPLossProbes:
		if d := l.Difference(); d > 0 {
			l.may(0, d, "a probe that sends new data is no retransmit and is not seen")
		}
	}
	if why := t.blind[l.Counter]; why != "" && l.Difference() > 0 {
		l.may(0, l.Difference(), why)
	}
}

// shortLived allows for timewait sockets in FIN_WAIT2 that the kernel counts
// on the other side: by TCP_LINGER2 a socket has a timeout of its own.
func (s *space) shortLived(l *Line, tw, killed int64) {
	if tw != -killed || max(tw, -tw) > s.halfClosed {
		return
	}
	d := l.Difference()
	l.may(max(0, -d), max(0, d), "sockets in FIN_WAIT2 whose TCP_LINGER2 differs from tcp_fin_timeout count as the other of TW and TWKilled")
}

// Blind says that on this host not everything is seen that the counter
// counts, and why.
func (t *Tally) Blind(c Counter, why string) { t.blind[c] = why }

// SeesUnsent says that a Retransmit comes also for a segment that could not be
// sent.
func (t *Tally) SeesUnsent() { t.unsent = true }

// Lost returns the count of events that never came.
func (t *Tally) Lost() uint64 { return t.lost }

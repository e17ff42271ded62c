package join

import (
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// leastNumbered is how many pairs must have the same numbers before those that
// have not are believed to be none: two connections of 2^32 may have one number in
// common by chance, but not both.
const leastNumbered = 3

// number finds the ends that have the same two initial sequence numbers.
func (m *matcher) number() {
	byNumbers := map[event.ISNs][]int{}
	for j := range m.b {
		if y := &m.b[j]; y.numbered() {
			key := event.ISNs{Sent: y.ISNs.Received, Received: y.ISNs.Sent}
			byNumbers[key] = append(byNumbers[key], j)
		}
	}
	for i := range m.a {
		x := &m.a[i]
		if !x.numbered() {
			continue
		}
		for _, j := range byNumbers[x.ISNs] {
			if _, _, ok := opposite(x, &m.b[j]); ok {
				m.known = append(m.known, candidate{a: i, b: j, tier: numbers})
			}
		}
	}
}

// numbered reports whether both of e's numbers are known.
func (e *End) numbered() bool { return e.ISNs.Sent.Known && e.ISNs.Received.Known }

// differ reports whether two ends have different numbers, where numbers are known
// to be kept on the way.
func (m *matcher) differ(x, y *End) bool {
	if len(m.known) < leastNumbered {
		return false
	}
	other := func(one, two event.ISN) bool { return one.Known && two.Known && one != two }
	return other(x.ISNs.Sent, y.ISNs.Received) || other(x.ISNs.Received, y.ISNs.Sent)
}

// unanswered returns the pairs of a client whose SYN was not answered, as far as it
// knows, and the server that got it: they have one number in common, and must have
// lived at one time.
func (m *matcher) unanswered() (all []candidate) {
	if !m.result.OffsetKnown {
		return nil
	}
	arrived := map[event.ISN][]int{} // requests of b, by the client's number
	asked := map[event.ISN][]int{}   // clients of b that got no answer
	for j := range m.b {
		switch y := &m.b[j]; {
		case y.Role == conn.Server && y.ISNs.Received.Known:
			arrived[y.ISNs.Received] = append(arrived[y.ISNs.Received], j)
		case y.isUnanswered():
			asked[y.ISNs.Sent] = append(asked[y.ISNs.Sent], j)
		}
	}
	for i := range m.a {
		x := &m.a[i]
		var others []int
		switch {
		case x.isUnanswered():
			others = arrived[x.ISNs.Sent]
		case x.Role == conn.Server && x.ISNs.Received.Known:
			others = asked[x.ISNs.Received]
		}
		for _, j := range others {
			if cost, ok := m.overlap(x, &m.b[j]); ok {
				all = append(all, candidate{a: i, b: j, tier: numbers, cost: cost})
			}
		}
	}
	return all
}

// isUnanswered reports whether e is of a client that has got no SYN.
func (e *End) isUnanswered() bool {
	return e.Role == conn.Client && e.ISNs.Sent.Known && !e.ISNs.Received.Known
}

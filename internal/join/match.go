package join

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"sort"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
)

const (
	// slack is what a time may be outside of what the handshake allows: the
	// clocks drift, and a time stamp is taken some time after the packet.
	slack = int64(time.Millisecond)
	// sampled is how many ends of either host are enough to find the clocks'
	// difference.
	sampled = 700
	// leastVotes is how many handshakes must agree before ends with different
	// addresses are believed to belong together.
	leastVotes = 3
)

// Match joins the ends of two hosts.
func Match(a, b []End) Result {
	m := &matcher{a: a, b: b}
	m.number()
	m.clocks()
	m.pair()
	m.result.Translations = m.translations()
	return m.result
}

type matcher struct {
	a, b   []End
	known  []candidate // by their initial sequence numbers
	low    int64       // the difference of the clocks, b less a, lies between these
	high   int64
	nat    bool // it is proved that ends with different addresses belong together
	result Result
}

// same reports whether two ends have the same addresses.
func same(x, y *End) bool { return x.Local == y.Remote && x.Remote == y.Local }

// opposite returns the client and the server of two ends; ok is false where
// they cannot be both.
func opposite(x, y *End) (client, server *End, ok bool) {
	switch {
	case x.Role == conn.Client && y.Role == conn.Server:
		return x, y, true
	case x.Role == conn.Server && y.Role == conn.Client:
		return y, x, true
	}
	return nil, nil, false
}

// likely reports whether a translation of addresses may lie between two ends.
func likely(client, server *End) bool {
	return client.Remote.Port() == server.Local.Port() || client.Local == server.Remote
}

// bounds returns the differences of the clocks, b less a, that a handshake
// allows; ok is false where it was not seen from both ends.
func bounds(x, y *End) (low, high int64, ok bool) {
	client, server, ok := opposite(x, y)
	if !ok || !x.BeginKnown || !y.BeginKnown || client.Established == 0 {
		return 0, 0, false
	}
	low, high = server.Begin-client.Established, server.Begin-client.Begin
	if client == y { // the difference is the other way round
		low, high = -high, -low
	}
	return low, high, true
}

// clocks finds the difference of the clocks: by ends with the same addresses, if
// there are any, else by those between which a translation may lie.
func (m *matcher) clocks() {
	var perhaps [][2]int64
	known := m.certain()
	first, second := sample(m.a), sample(m.b)
	possible := 0
	for _, x := range first {
		some := false
		for _, y := range second {
			client, server, ok := opposite(x, y)
			if !ok || same(x, y) || !likely(client, server) || !agree(client, server) || m.differ(x, y) {
				continue
			}
			if low, high, ok := bounds(x, y); ok {
				perhaps = append(perhaps, [2]int64{low, high})
				some = true
			}
		}
		if some {
			possible++
		}
	}
	votes := 0
	if len(known) > 0 {
		m.low, m.high, _ = densest(known)
		votes = covering(perhaps, m.low-slack, m.high+slack)
	} else if len(perhaps) > 0 {
		m.low, m.high, votes = densest(perhaps)
	}
	m.nat = votes >= leastVotes && 2*votes >= min(possible, len(second))
	if m.result.OffsetKnown = len(known) > 0 || m.nat; m.result.OffsetKnown {
		m.result.Offset = time.Duration(m.low + (m.high-m.low)/2)
		m.result.Within = time.Duration((m.high - m.low + 1) / 2)
	}
}

// certain returns the differences of the clocks that handshakes allow of which
// both ends are known: by their numbers, or else by their addresses.
func (m *matcher) certain() (known [][2]int64) {
	for _, c := range m.known {
		if low, high, ok := bounds(&m.a[c.a], &m.b[c.b]); ok {
			known = append(known, [2]int64{low, high})
		}
	}
	if len(known) > 0 {
		return known
	}
	byTuple := m.byTuple()
	for i := range m.a {
		x := &m.a[i]
		for _, j := range byTuple[[2]netip.AddrPort{x.Local, x.Remote}] {
			if low, high, ok := bounds(x, &m.b[j]); ok {
				known = append(known, [2]int64{low, high})
			}
		}
	}
	return known
}

// byTuple returns b's ends by the addresses of their other ends.
func (m *matcher) byTuple() map[[2]netip.AddrPort][]int {
	all := map[[2]netip.AddrPort][]int{}
	for i := range m.b {
		key := [2]netip.AddrPort{m.b[i].Remote, m.b[i].Local}
		all[key] = append(all[key], i)
	}
	return all
}

// sample returns some ends, evenly.
func sample(all []End) (some []*End) {
	step := max(1, len(all)/sampled)
	for i := 0; i < len(all); i += step {
		some = append(some, &all[i])
	}
	return some
}

// densest returns the range that at least half as many intervals cover as cover
// their densest point, around it, and how many cover that. The densest point
// alone would promise too much: a time stamp is taken some µs after the packet,
// which moves each interval by as much.
func densest(intervals [][2]int64) (low, high int64, votes int) {
	lows, highs := make([]int64, len(intervals)), make([]int64, len(intervals))
	for i, v := range intervals {
		lows[i], highs[i] = v[0], v[1]
	}
	slices.Sort(lows)
	slices.Sort(highs)
	type step struct {
		at    int64
		cover int // from here to the next step
	}
	steps := make([]step, 0, 2*len(intervals))
	open, peak := 0, 0
	for i, j := 0, 0; j < len(highs); {
		at := highs[j]
		if i < len(lows) && lows[i] <= at {
			at = lows[i]
			open++
			i++
		} else {
			open--
			j++
		}
		steps = append(steps, step{at, open})
		if open > votes {
			votes, peak = open, len(steps)-1
		}
	}
	if votes == 0 {
		return 0, 0, 0
	}
	from, to := peak, peak+1
	for from > 0 && 2*steps[from-1].cover >= votes {
		from--
	}
	for 2*steps[to].cover >= votes {
		to++
	}
	return steps[from].at, steps[to].at, votes
}

func covering(intervals [][2]int64, low, high int64) (n int) {
	for _, v := range intervals {
		if v[0] <= high && v[1] >= low {
			n++
		}
	}
	return n
}

// agree reports whether the bytes that one end sent may be those that the other
// received.
func agree(client, server *End) bool {
	if !client.HasCounters || !server.HasCounters {
		return true
	}
	if client.Result == conn.EndFIN && server.Result == conn.EndFIN {
		return client.Acked == server.Received && server.Acked == client.Received
	}
	return client.Received <= server.Sent && server.Received <= client.Sent &&
		client.Acked <= server.Received && server.Acked <= client.Received
}

// fit reports whether two ends may tell of one connection's end. A segment that
// is lost can make them differ all the same.
func fit(one, other conn.End) bool {
	switch {
	case one == conn.EndUnknown || other == conn.EndUnknown:
		return true
	case one == conn.EndResetSent || other == conn.EndResetSent:
		return one == conn.EndResetReceived || other == conn.EndResetReceived || one == other
	}
	return one == other
}

// before orders what is false before what is true.
func before(x, y bool) int {
	switch {
	case x == y:
		return 0
	case x:
		return -1
	}
	return 1
}

// A tier is what two ends have in common, the best first.
type tier int

const (
	numbers tier = iota
	addresses
	clientPort
	nothing
)

// A candidate is a pair that may be one.
type candidate struct {
	a, b int
	tier tier
	odd  bool  // the two do not say the same of how it ended
	cost int64 // how far the handshakes are from what the clocks say
	fits bool  // the clocks allow it without slack
}

// pair makes pairs of the candidates, the best first.
func (m *matcher) pair() {
	all := slices.Concat(m.known, m.unanswered(), m.candidates())
	slices.SortFunc(all, func(x, y candidate) int {
		return cmp.Or(cmp.Compare(x.tier, y.tier), before(y.odd, x.odd), cmp.Compare(x.cost, y.cost), cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b))
	})
	takenA, takenB := make([]bool, len(m.a)), make([]bool, len(m.b))
	fitting := make([]int, len(m.a)) // candidates that neither the clocks nor the bytes exclude
	for _, c := range all {
		if c.tier == nothing && c.fits && !c.odd {
			fitting[c.a]++
		}
	}
	for _, c := range all {
		if takenA[c.a] || takenB[c.b] {
			continue
		}
		takenA[c.a], takenB[c.b] = true, true
		m.result.Pairs = append(m.result.Pairs, Pair{
			A: c.a, B: c.b, Translated: !same(&m.a[c.a], &m.b[c.b]), Numbered: c.tier == numbers,
			Ambiguous: c.tier == nothing && (c.odd || fitting[c.a] > 1),
		})
	}
	slices.SortFunc(m.result.Pairs, func(x, y Pair) int { return cmp.Compare(m.a[x.A].Begin, m.a[y.A].Begin) })
}

// candidates returns the pairs that addresses, times and bytes allow.
func (m *matcher) candidates() (all []candidate) {
	order := make([]int, len(m.b)) // of b, by begin
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(m.b[i].Begin, m.b[j].Begin) })
	byTuple := m.byTuple()
	for i := range m.a {
		x := &m.a[i]
		for _, j := range byTuple[[2]netip.AddrPort{x.Local, x.Remote}] {
			if cost, ok := m.overlap(x, &m.b[j]); ok && !m.differ(x, &m.b[j]) {
				all = append(all, candidate{a: i, b: j, tier: addresses, cost: cost})
			}
		}
		if !m.nat || !x.BeginKnown {
			continue
		}
		// The other end begins within a handshake of this one.
		reach := slack + (m.high-m.low)/2
		if x.Role == conn.Client && x.Established != 0 {
			reach += x.Established - x.Begin
		} else {
			reach += m.longest()
		}
		at := x.Begin + int64(m.result.Offset)
		from := sort.Search(len(order), func(n int) bool { return m.b[order[n]].Begin >= at-reach })
		for _, j := range order[from:] {
			y := &m.b[j]
			if y.Begin > at+reach {
				break
			}
			if c, ok := m.translated(i, j, x, y); ok {
				all = append(all, c)
			}
		}
	}
	return all
}

// longest is how long a handshake of b's clients took at most.
func (m *matcher) longest() (d int64) {
	for i := range m.b {
		if y := &m.b[i]; y.Role == conn.Client && y.BeginKnown && y.Established != 0 {
			d = max(d, y.Established-y.Begin)
		}
	}
	return d
}

// overlap reports whether two ends with the same addresses lived at one time, and
// how far their begins are from each other.
func (m *matcher) overlap(x, y *End) (cost int64, ok bool) {
	if x.Role == y.Role && x.Role != conn.RoleUnknown {
		return 0, false
	}
	offset := int64(m.result.Offset)
	overX, overY := x.Over, y.Over
	if overX == 0 {
		overX = math.MaxInt64
	}
	if overY == 0 {
		overY = math.MaxInt64
	} else {
		overY -= offset
	}
	begin := y.Begin - offset
	if x.Begin > overY+slack || begin > overX+slack {
		return 0, false
	}
	if x.BeginKnown && y.BeginKnown {
		return abs(begin - x.Begin), true
	}
	return math.MaxInt64, true
}

// translated judges two ends with different addresses.
func (m *matcher) translated(i, j int, x, y *End) (candidate, bool) {
	client, server, ok := opposite(x, y)
	if !ok || !y.BeginKnown || same(x, y) || !likely(client, server) || !agree(client, server) || m.differ(x, y) {
		return candidate{}, false
	}
	low, high, ok := bounds(x, y)
	if !ok || low > m.high+slack || high < m.low-slack {
		return candidate{}, false
	}
	c := candidate{
		a: i, b: j, tier: nothing, odd: !fit(client.Result, server.Result),
		cost: abs(low + (high-low)/2 - int64(m.result.Offset)),
		fits: low <= m.high && high >= m.low,
	}
	if client.Local.Port() == server.Remote.Port() {
		c.tier = clientPort
	}
	return c, true
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}

// translations counts which addresses are seen as which.
func (m *matcher) translations() (all []Translation) {
	type change struct{ has, seen netip.AddrPort }
	count := map[change]int{}
	for _, p := range m.result.Pairs {
		client, server, ok := opposite(&m.a[p.A], &m.b[p.B])
		if !ok {
			continue
		}
		if client.Local.Addr() != server.Remote.Addr() {
			count[change{netip.AddrPortFrom(client.Local.Addr(), 0), netip.AddrPortFrom(server.Remote.Addr(), 0)}]++
		}
		if client.Remote != server.Local {
			count[change{server.Local, client.Remote}]++
		}
	}
	for c, n := range count {
		all = append(all, Translation{c.has, c.seen, n})
	}
	slices.SortFunc(all, func(x, y Translation) int {
		return cmp.Or(-cmp.Compare(x.Count, y.Count), x.Has.Compare(y.Has), x.Seen.Compare(y.Seen))
	})
	return all
}

package report

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/tcp"
	"github.com/tcptrace/tcptrace/internal/timeline"
)

const (
	// maxGroups bounds the processes that are drawn, and barsEach the
	// connections of one of them as long as others wait for room.
	maxGroups = 40
	barsEach  = 40
)

// stateMeanings explain the states, in the order of tcp.States.
var stateMeanings = [tcp.NumStates]string{
	tcp.Listen:      "waits for connections",
	tcp.SynSent:     "connect() waits for the peer's answer",
	tcp.SynRecv:     "a SYN came, the handshake is not over",
	tcp.Established: "open",
	tcp.FinWait1:    "our side closed, its FIN is not acknowledged",
	tcp.FinWait2:    "our side closed, the peer has not",
	tcp.Closing:     "both sides closed at once",
	tcp.TimeWait:    "over; the addresses rest for a minute",
	tcp.CloseWait:   "the peer closed, our process has not",
	tcp.LastAck:     "both sides closed, our FIN is not acknowledged",
}

// addBars draws the chosen connections by process.
func (b *builder) addBars() {
	byPID := map[uint32][]int{} // rows of the table of connections
	var order []uint32
	for i := range b.chosen {
		pid := b.chosen[i].Owner.Task.PID
		if byPID[pid] == nil {
			order = append(order, pid)
		}
		byPID[pid] = append(byPID[pid], i)
	}
	shown := order[:min(len(order), maxGroups)]
	if left := len(order) - len(shown); left > 0 {
		b.page.GroupsLeft = countOf(uint64(left), "more process") + " not drawn; the tables have them."
	}
	e := newExtent(b.begin, b.last)
	b.page.Axis = e.axis()
	b.page.Length = string(appendNumber(nil, e.ms(e.to), e.scale))
	room, left := b.roomForBars(shown, byPID), b.facts.Limits.budget(barBytes)
	stats := map[uint32]*timeline.Process{}
	for _, p := range b.timelines.Processes(b.last) {
		stats[p.Owner.Task.PID] = p
	}
	for i, pid := range shown {
		g := b.group(stats[pid], byPID[pid][:room[i]], &e, &left)
		g.ID = "p" + string(appendNumber(nil, float64(i), 0))
		if all := b.tally.processes[pid]; all != nil {
			g.Sum = sumOf(all)
			if left := all.connections - uint64(len(g.Bars)); all.connections > uint64(len(g.Bars)) {
				g.Left = countOf(left, "more connection") + " not drawn."
			}
		}
		b.page.Groups = append(b.page.Groups, g)
	}
	b.addLegend()
}

// roomForBars says how many connections of each process are drawn.
func (b *builder) roomForBars(shown []uint32, byPID map[uint32][]int) []int {
	left := b.facts.Limits.Bars
	room := make([]int, len(shown))
	for _, each := range []int{barsEach, left} {
		for i, pid := range shown {
			more := min(max(each-room[i], 0), len(byPID[pid])-room[i], left)
			room[i] += more
			left -= more
		}
	}
	return room
}

func (b *builder) group(p *timeline.Process, rows []int, e *extent, left *budget) barGroup {
	first := &b.chosen[rows[0]]
	g := barGroup{Process: process(&first.Owner.Task), Where: where(&first.Owner.Task)}
	if g.Process == "" {
		g.Process = "process not known"
	}
	if p != nil {
		for i := range p.States {
			g.Stays = append(g.Stays, stayOf(&p.States[i]))
		}
	}
	for _, row := range rows {
		r := &b.chosen[row]
		one := bar{
			Row: row, Name: barName(&r.Connection.Connection), Life: b.life(r), End: outcome(&r.Connection.Connection),
			Drawing: e.bar(r.Connection),
		}
		if left.take(one.bytes()) {
			g.Bars = append(g.Bars, one)
		}
	}
	slices.SortStableFunc(g.Bars, func(i, j bar) int {
		return cmp.Compare(b.chosen[i.Row].Begin(), b.chosen[j.Row].Begin())
	})
	return g
}

// barName names a connection of a process that is known, by what tells it from
// the others: the peer, and of a client its own port.
func barName(c *conn.Connection) string {
	remote := endpoint(c.Remote)
	if remote == "" {
		remote = "?"
	}
	switch c.Role {
	case conn.Client:
		if c.Local.Port() == 0 {
			return "→ " + remote
		}
		return ":" + strconv.Itoa(int(c.Local.Port())) + " → " + remote
	case conn.Server:
		return "← " + remote
	}
	return "– " + remote
}

func (b *builder) life(r *choice) string {
	if !r.OpenedKnown {
		return "≥" + lasting(r.life(b.last))
	}
	return lasting(r.life(b.last))
}

func sumOf(p *party) string {
	words := countOf(p.connections, "connection")
	if p.open > 0 {
		words += ", " + group(p.open) + " open"
	}
	if p.clients > 0 && p.servers > 0 {
		words += ", " + group(p.clients) + " as client and " + group(p.servers) + " as server"
	} else if p.clients > 0 {
		words += ", as client"
	} else if p.servers > 0 {
		words += ", as server"
	}
	return words
}

func stayOf(s *timeline.StateSummary) stay {
	out := stay{Class: stateClass(s.State), State: s.State.String(), Now: orNothing(uint64(s.Now))}
	count := uint64(s.Count)
	out.Count = orNothing(count)
	if s.Older > 0 {
		out.Count += "+" + group(uint64(s.Older))
	}
	if count > 0 {
		out.Median, out.P99, out.Max = lasting(s.Median), lasting(s.P99), lasting(s.Max)
	}
	if s.Now > 0 {
		bound := conn.AtLeast
		if s.LongestKnown {
			bound = conn.Exact
		}
		out.Longest = bounded(max(s.Longest, time.Duration(0)), bound)
	}
	return out
}

// addLegend explains the colours that occur.
func (b *builder) addLegend() {
	var seen [tcp.NumStates]bool
	for i := range b.chosen {
		for _, s := range b.chosen[i].Spans {
			if s.State.Valid() {
				seen[s.State] = true
			}
		}
	}
	for _, state := range tcp.States() {
		if seen[state] && state != tcp.Close {
			b.page.Legend = append(b.page.Legend, legend{stateClass(state), state.String(), stateMeanings[state]})
		}
	}
}

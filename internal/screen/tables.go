package screen

import (
	"strconv"
	"strings"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/render"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// table returns the rows of v that the user can move in.
func (v *View) table() *table {
	if v.Query.Focus.Kind != OnList || v.Query.Tab == Connections {
		return v.connTable()
	}
	switch v.Query.Tab {
	case Findings:
		return v.findingTable()
	case Processes:
		return v.processTable()
	case Peers:
		return v.peerTable()
	case Resets:
		return v.resetTable()
	case Retransmits:
		return v.resendTable()
	}
	return v.listenerTable()
}

func (v *View) findingTable() *table {
	return &table{
		columns: []column{
			{title: "SEVERITY", least: 8, most: 8},
			{title: "RULE", least: 14, most: 25},
			{title: "PROCESS", least: 10, most: 20, drop: 1},
			{title: "COUNT", least: 6, most: 7, right: true, drop: 2},
			{title: "LAST", least: 6, most: 7, right: true, drop: 3},
			{title: "WHAT", least: 14, most: 200, drop: 4},
		},
		len:   len(v.Findings),
		key:   func(i int) any { return v.Findings[i].ID },
		focus: func(i int) Focus { return Focus{Kind: OnFinding, Finding: v.Findings[i].ID} },
		cells: func(i int, w []int) []cell {
			f := &v.Findings[i]
			st := severityStyle(f.Severity)
			return []cell{
				{strings.ToUpper(f.Severity.String()), st},
				{f.Rule.Name, st},
				{render.Process(&f.Process.Task, w[2]), plain},
				{number(f.Count, w[3]), plain},
				{render.Duration(max(v.Now.Sub(f.Last), 0)), plain},
				{f.Summary, plain},
			}
		},
		empty: "nothing wrong seen so far; some rules need time: a leak in CLOSE_WAIT shows after 5s",
	}
}

func (v *View) connTable() *table {
	return &table{
		columns: []column{
			{title: "STATE", least: 11, most: 17},
			{title: "FOR", least: 7, most: 9, right: true},
			{title: "PROCESS", least: 12, most: 24, drop: 5},
			{title: "LOCAL", least: 14, most: 47, drop: 3},
			{title: "", least: 2, most: 2, drop: 4},
			{title: "REMOTE", least: 16, most: 47},
			{title: "LIFE", least: 7, most: 9, right: true, drop: 7},
			{title: "RESENT", least: 6, most: 8, right: true, drop: 6},
			{title: "CONN", least: 8, most: 12, drop: 8},
			{title: "NETNS", least: 10, most: 10, drop: 9},
		},
		len:   len(v.Conns),
		key:   func(i int) any { return v.Conns[i].ID },
		focus: func(i int) Focus { return Focus{Kind: OnConnection, Conn: v.Conns[i].ID} },
		cells: v.connCells,
		empty: "no connection",
	}
}

func (v *View) connCells(i int, w []int) []cell {
	c := &v.Conns[i]
	state, st := c.State.String(), stateStyles[c.State]
	life := v.Now.Sub(c.Opened)
	if c.Closed != 0 {
		state, st = orDash(c.End.String()), plain
		life = c.Closed.Sub(c.Opened)
	}
	cookie := strconv.FormatUint(c.ID.Cookie, 16)
	if c.ID.Cookie&pseudoBit != 0 {
		cookie = "-"
	}
	stay := span(v.Now.Sub(c.Since), c.SinceKnown)
	if c.Closed != 0 {
		stay = "ended"
	}
	return []cell{
		{state, st},
		{stay, plain},
		{render.Process(&c.Process, w[2]), plain},
		{cutLeft(render.Endpoint(c.Local), w[3]), plain},
		{arrow(c.Role), faint},
		{cutLeft(render.Endpoint(c.Remote), w[5]), plain},
		{span(life, c.OpenedKnown), plain},
		{some(uint64(c.Resent), w[7]), resentStyle(uint64(c.Resent))},
		{cookie, faint},
		{strconv.FormatUint(uint64(c.ID.NetNS), 10), faint},
	}
}

func resentStyle(n uint64) style {
	if n > 0 {
		return warn
	}
	return plain
}

func resetStyle(n uint64) style {
	if n > 0 {
		return alarm
	}
	return plain
}

// closing are the states on the way to the end, but for the two that are told
// apart.
func closing(g *Group) uint64 {
	n := g.States[tcp.FinWait1] + g.States[tcp.FinWait2] + g.States[tcp.Closing] + g.States[tcp.LastAck]
	return uint64(max(n, 0))
}

func opening(g *Group) uint64 { return uint64(max(g.States[tcp.SynSent]+g.States[tcp.SynRecv], 0)) }

// groupColumns are what processes and peers have in common.
var groupColumns = []column{
	{title: "OPEN", least: 6, most: 8, right: true},
	{title: "NEW/s", least: 6, most: 6, right: true, drop: 2},
	{title: "ESTAB", least: 6, most: 8, right: true, drop: 3},
	{title: "CLOSE_W", least: 7, most: 8, right: true, drop: 4},
	{title: "TIME_W", least: 6, most: 8, right: true, drop: 5},
	{title: "RESETS", least: 6, most: 8, right: true, drop: 6},
	{title: "RESENT", least: 6, most: 8, right: true, drop: 7},
	{title: "CLOSING", least: 7, most: 8, right: true, drop: 8},
	{title: "OPENING", least: 7, most: 8, right: true, drop: 9},
	{title: "ENDED", least: 7, most: 9, right: true, drop: 10},
}

func groupCells(g *Group, w []int) []cell {
	return []cell{
		{number(uint64(max(g.Open, 0)), w[0]), bold},
		{perSecond(g.PerSecond), plain},
		{some(uint64(max(g.States[tcp.Established], 0)), w[2]), stateStyles[tcp.Established]},
		{some(uint64(max(g.States[tcp.CloseWait], 0)), w[3]), stateStyles[tcp.CloseWait]},
		{some(uint64(max(g.States[tcp.TimeWait], 0)), w[4]), stateStyles[tcp.TimeWait]},
		{some(g.Resets, w[5]), resetStyle(g.Resets)},
		{some(g.Resent, w[6]), resentStyle(g.Resent)},
		{some(closing(g), w[7]), plain},
		{some(opening(g), w[8]), plain},
		{some(g.Ended, w[9]), plain},
	}
}

func (v *View) groupTable(first []column, name func(*Group, []int) []cell, to FocusKind, empty string) *table {
	return &table{
		columns: append(first, groupColumns...),
		len:     len(v.Groups),
		key:     func(i int) any { return v.Groups[i].Ref },
		focus: func(i int) Focus {
			if v.Groups[i].Others {
				return Focus{}
			}
			return Focus{Kind: to, Group: v.Groups[i].Ref}
		},
		cells: func(i int, w []int) []cell {
			g := &v.Groups[i]
			return append(name(g, w), groupCells(g, w[len(first):])...)
		},
		empty: empty,
	}
}

func (v *View) processTable() *table {
	return v.groupTable([]column{
		{title: "PROCESS", least: 16, most: 26},
	}, func(g *Group, w []int) []cell { return []cell{{processName(g, w[0]), bold}} }, OnTimeline, "no process")
}

// processName says whose connections a group has.
func processName(g *Group, width int) string {
	switch {
	case g.Others:
		return "others"
	case !g.Owner.Known():
		return "not known"
	}
	return render.Process(&g.Owner.Task, width)
}

func (v *View) peerTable() *table {
	return v.groupTable([]column{
		{title: "PEER", least: 18, most: 47},
		{title: "WE", least: 6, most: 6, drop: 1},
	}, func(g *Group, w []int) []cell {
		return []cell{{cutLeft(peerName(g), w[0]), bold}, {roleWord(g.Role), faint}}
	}, OnGroup, "no peer")
}

func peerName(g *Group) string {
	switch {
	case g.Others:
		return "others"
	case !g.At.Addr().IsValid():
		return "-"
	case g.At.Port() == 0:
		return g.At.Addr().String()
	}
	return g.At.String()
}

func (v *View) listenerTable() *table {
	return &table{
		columns: []column{
			{title: "LISTENER", least: 13, most: 47},
			{title: "PROCESS", least: 9, most: 20, drop: 4},
			{title: "QUEUE", least: 6, most: 7, right: true},
			{title: "BACKLOG", least: 7, most: 7, right: true},
			{title: "FULL", least: 6, most: 7, right: true, drop: 1},
			{title: "SYNFULL", least: 7, most: 7, right: true, drop: 6},
			{title: "DROPS", least: 6, most: 7, right: true, drop: 7},
			{title: "OPEN", least: 6, most: 7, right: true, drop: 2},
			{title: "NEW/s", least: 6, most: 6, right: true, drop: 3},
			{title: "SYN_R", least: 5, most: 6, right: true, drop: 5},
			{title: "NETNS", least: 10, most: 10, drop: 9},
		},
		len:   len(v.Groups),
		key:   func(i int) any { return v.Groups[i].Ref },
		focus: func(i int) Focus { return Focus{Kind: OnGroup, Group: v.Groups[i].Ref} },
		cells: func(i int, w []int) []cell {
			g := &v.Groups[i]
			length, limit, st := "-", "-", plain
			if g.QueueKnown {
				length, limit = number(uint64(g.Queue.Length), w[2]), number(uint64(g.Queue.Limit), w[3])
				if g.fill() >= 80 {
					st = alarm
				}
			}
			drops := "-"
			if g.DropsKnown {
				drops = number(g.Drops, w[6])
			}
			return []cell{
				{cutLeft(render.Endpoint(g.At), w[0]), bold},
				{render.Process(&g.Owner.Task, w[1]), plain},
				{length, st}, {limit, plain},
				{some(g.Full, w[4]), resetStyle(g.Full)},
				{some(g.FullSYN, w[5]), resetStyle(g.FullSYN)},
				{drops, plain},
				{some(uint64(max(g.Open, 0)), w[7]), plain},
				{perSecond(g.PerSecond), plain},
				{some(uint64(max(g.States[tcp.SynRecv], 0)), w[9]), plain},
				{strconv.FormatUint(uint64(g.NetNS), 10), faint},
			}
		},
		empty: "nobody listens",
	}
}

func (v *View) troubleTable(first []column, cells func(*Trouble, []int) []cell, empty string) *table {
	return &table{
		columns: first,
		len:     len(v.Troubles),
		key:     func(i int) any { return v.Troubles[i].Key },
		focus:   func(i int) Focus { return Focus{Kind: OnTrouble, Trouble: v.Troubles[i].Key} },
		cells:   func(i int, w []int) []cell { return cells(&v.Troubles[i], w) },
		empty:   empty,
	}
}

// troubleParts are what resets and retransmits have in common.
func (v *View) last(t *Trouble) string { return render.Duration(max(v.Now.Sub(t.Last), 0)) }

func (v *View) resetTable() *table {
	return v.troubleTable([]column{
		{title: "LAST", least: 6, most: 7, right: true},
		{title: "RST", least: 4, most: 4},
		{title: "CAUSE", least: 12, most: 22},
		{title: "PROCESS", least: 9, most: 20, drop: 2},
		{title: "WE", least: 6, most: 6, drop: 5},
		{title: "PEER", least: 15, most: 45, drop: 3},
		{title: "PORT", least: 5, most: 5, right: true, drop: 4},
		{title: "COUNT", least: 6, most: 8, right: true, drop: 1},
		{title: "/s", least: 5, most: 6, right: true, drop: 6},
		{title: "DONE BY", least: 9, most: 20, drop: 7},
	}, func(t *Trouble, w []int) []cell {
		way := "sent"
		if t.Key.Received {
			way = "recv"
		}
		by := &t.Actor
		if t.Key.Received && t.PeerOwner.Known() {
			by = &t.PeerOwner.Task
		}
		return []cell{
			{v.last(t), plain}, {way, alarm}, {causeName(t), alarm},
			{render.Process(&t.Owner.Task, w[3]), plain}, {roleWord(t.Key.Role), faint},
			{cutLeft(addrName(t), w[5]), plain}, {portName(t), plain},
			{number(t.Count, w[7]), bold}, {perSecond(t.PerSecond), plain},
			{doneBy(t, by, w[9]), plain},
		}
	}, "no reset")
}

// doneBy names the process that caused a RST.
func doneBy(t *Trouble, by *event.Task, width int) string {
	if by.Known() && by.PID == t.Owner.Task.PID {
		return "itself"
	}
	return render.Process(by, width)
}

func causeName(t *Trouble) string {
	if t.Inferred {
		return orDash(t.Key.Cause.String()) + "?"
	}
	return orDash(t.Key.Cause.String())
}

func addrName(t *Trouble) string {
	if !t.Key.Remote.IsValid() {
		return "-"
	}
	return t.Key.Remote.String()
}

func portName(t *Trouble) string {
	if t.Key.Service == 0 {
		return "-"
	}
	return strconv.Itoa(int(t.Key.Service))
}

func (v *View) resendTable() *table {
	return v.troubleTable([]column{
		{title: "LAST", least: 6, most: 7, right: true},
		{title: "SEGMENTS", least: 8, most: 9, right: true},
		{title: "PROCESS", least: 9, most: 20, drop: 1},
		{title: "WE", least: 6, most: 6, drop: 5},
		{title: "PEER", least: 15, most: 45},
		{title: "PORT", least: 5, most: 5, right: true, drop: 2},
		{title: "/s", least: 5, most: 6, right: true, drop: 4},
		{title: "WHY", least: 12, most: 48, drop: 3},
		{title: "EPISODES", least: 8, most: 8, right: true, drop: 7},
		{title: "LOST", least: 7, most: 8, right: true, drop: 6},
	}, func(t *Trouble, w []int) []cell {
		return []cell{
			{v.last(t), plain}, {number(t.Count, w[1]), bold}, {render.Process(&t.Owner.Task, w[2]), plain},
			{roleWord(t.Key.Role), faint}, {cutLeft(addrName(t), w[4]), plain}, {portName(t), plain},
			{perSecond(t.PerSecond), plain}, {classes(&t.Classes), warn}, {some(t.Episodes, w[8]), plain}, {lostTime(t), plain},
		}
	}, "nothing sent again")
}

func lostTime(t *Trouble) string {
	if t.TimeLost == 0 {
		return "-"
	}
	return render.Duration(t.TimeLost)
}

// classes lists why segments were sent again, the most frequent first.
func classes(all *[conn.NumClasses]uint64) string {
	var parts []string
	left := *all
	for {
		best := conn.Class(0)
		for c := range left {
			if left[c] > left[best] {
				best = conn.Class(c)
			}
		}
		if left[best] == 0 {
			return strings.Join(parts, " ")
		}
		parts = append(parts, best.String()+" "+render.Count(left[best]))
		left[best] = 0
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// worst returns the greatest severity that was found.
func (v *View) worst() diagnose.Severity {
	for s := diagnose.Critical; s > diagnose.None; s-- {
		if v.Found[s] > 0 {
			return s
		}
	}
	return diagnose.None
}

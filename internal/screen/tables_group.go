package screen

import (
	"slices"
	"strconv"

	"github.com/tcptrace/tcptrace/internal/render"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

var processFields = slices.Concat([]field[Group]{
	{column{title: "PROCESS", least: 16, most: 26}, func(_ *View, g *Group, w int) cell {
		return cell{processName(g, w), bold}
	}},
}, groupFields)

var peerFields = slices.Concat([]field[Group]{
	{column{title: "PEER", least: 18, most: 47}, func(_ *View, g *Group, w int) cell {
		return cell{cutLeft(peerName(g), w), bold}
	}},
	{column{title: "WE", least: 6, most: 6, drop: 1}, func(_ *View, g *Group, _ int) cell {
		return cell{roleWord(g.Role), faint}
	}},
}, groupFields)

// groupFields are what processes and peers have in common.
var groupFields = []field[Group]{
	{column{title: "OPEN", least: 6, most: 8, right: true}, func(_ *View, g *Group, w int) cell {
		return cell{number(uint64(max(g.Open, 0)), w), bold}
	}},
	{column{title: "NEW/s", least: 6, most: 6, right: true, drop: 2}, newPerSecond},
	{column{title: "ESTAB", least: 6, most: 8, right: true, drop: 3}, inStates(tcp.Established)},
	{column{title: "CLOSE_W", least: 7, most: 8, right: true, drop: 4}, inStates(tcp.CloseWait)},
	{column{title: "TIME_W", least: 6, most: 8, right: true, drop: 5}, inStates(tcp.TimeWait)},
	{column{title: "RESETS", least: 6, most: 8, right: true, drop: 6}, func(_ *View, g *Group, w int) cell {
		return cell{some(g.Resets, w), resetStyle(g.Resets)}
	}},
	{column{title: "RESENT", least: 6, most: 8, right: true, drop: 7}, func(_ *View, g *Group, w int) cell {
		return cell{some(g.Resent, w), resentStyle(g.Resent)}
	}},
	{column{title: "CLOSING", least: 7, most: 8, right: true, drop: 8}, inStates(tcp.FinWait1, tcp.FinWait2, tcp.Closing, tcp.LastAck)},
	{column{title: "OPENING", least: 7, most: 8, right: true, drop: 9}, inStates(tcp.SynSent, tcp.SynRecv)},
	{column{title: "ENDED", least: 7, most: 9, right: true, drop: 10}, func(_ *View, g *Group, w int) cell {
		return cell{some(g.Ended, w), plain}
	}},
}

var listenerFields = []field[Group]{
	{column{title: "LISTENER", least: 13, most: 47}, func(_ *View, g *Group, w int) cell {
		return cell{cutLeft(listenerName(g), w), bold}
	}},
	{column{title: "PROCESS", least: 9, most: 20, drop: 4}, func(_ *View, g *Group, w int) cell {
		return cell{render.Process(&g.Owner.Task, w), plain}
	}},
	{column{title: "QUEUE", least: 6, most: 7, right: true}, func(_ *View, g *Group, w int) cell {
		st := plain
		if g.fill() >= 80 {
			st = alarm
		}
		return cell{known(uint64(g.Queue.Length), g.QueueKnown, w), st}
	}},
	{column{title: "BACKLOG", least: 7, most: 7, right: true}, func(_ *View, g *Group, w int) cell {
		return cell{known(uint64(g.Queue.Limit), g.QueueKnown, w), plain}
	}},
	{column{title: "FULL", least: 6, most: 7, right: true, drop: 1}, func(_ *View, g *Group, w int) cell {
		return cell{some(g.Full, w), resetStyle(g.Full)}
	}},
	{column{title: "SYNFULL", least: 7, most: 7, right: true, drop: 6}, func(_ *View, g *Group, w int) cell {
		return cell{some(g.FullSYN, w), resetStyle(g.FullSYN)}
	}},
	{column{title: "DROPS", least: 6, most: 7, right: true, drop: 7}, func(_ *View, g *Group, w int) cell {
		return cell{known(g.Drops, g.DropsKnown, w), plain}
	}},
	{column{title: "OPEN", least: 6, most: 7, right: true, drop: 2}, func(_ *View, g *Group, w int) cell {
		return cell{some(uint64(max(g.Open, 0)), w), plain}
	}},
	{column{title: "NEW/s", least: 6, most: 6, right: true, drop: 3}, newPerSecond},
	{column{title: "SYN_R", least: 5, most: 6, right: true, drop: 5}, inStates(tcp.SynRecv)},
	{column{title: "NETNS", least: 10, most: 10, drop: 9}, func(_ *View, g *Group, _ int) cell {
		return cell{strconv.FormatUint(uint64(g.NetNS), 10), faint}
	}},
}

func newPerSecond(_ *View, g *Group, _ int) cell { return cell{perSecond(g.PerSecond), plain} }

// inStates counts a group's sockets in some states, in the colour of the first if
// it is the only one.
func inStates(states ...tcp.State) func(*View, *Group, int) cell {
	st := plain
	if len(states) == 1 {
		st = stateStyles[states[0]]
	}
	return func(_ *View, g *Group, w int) cell {
		n := int32(0)
		for _, s := range states {
			n += g.States[s]
		}
		return cell{some(uint64(max(n, 0)), w), st}
	}
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

func listenerName(g *Group) string {
	if g.Others {
		return "others"
	}
	return render.Endpoint(g.At)
}

package screen

import (
	"strconv"
	"strings"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/render"
)

var resetFields = []field[Trouble]{
	{column{title: "LAST", least: 6, most: 7, right: true}, lastTrouble},
	{column{title: "RST", least: 4, most: 4}, func(_ *View, t *Trouble, _ int) cell {
		if t.Key.Received {
			return cell{"recv", alarm}
		}
		return cell{"sent", alarm}
	}},
	{column{title: "CAUSE", least: 12, most: 22}, func(_ *View, t *Trouble, _ int) cell { return cell{causeName(t), alarm} }},
	{column{title: "PROCESS", least: 9, most: 20, drop: 2}, ownerOfTrouble},
	{column{title: "WE", least: 6, most: 6, drop: 5}, roleInTrouble},
	{column{title: "PEER", least: 15, most: 45, drop: 3}, peerOfTrouble},
	{column{title: "PORT", least: 5, most: 5, right: true, drop: 4}, portOfTrouble},
	{column{title: "COUNT", least: 6, most: 8, right: true, drop: 1}, countOfTrouble},
	{column{title: "/s", least: 5, most: 6, right: true, drop: 6}, rateOfTrouble},
	{column{title: "DONE BY", least: 9, most: 20, drop: 7}, func(_ *View, t *Trouble, w int) cell {
		by := &t.Actor
		if t.Key.Received && t.PeerOwner.Known() {
			by = &t.PeerOwner.Task
		}
		return cell{doneBy(t, by, w), plain}
	}},
}

var resendFields = []field[Trouble]{
	{column{title: "LAST", least: 6, most: 7, right: true}, lastTrouble},
	{column{title: "SEGMENTS", least: 8, most: 9, right: true}, countOfTrouble},
	{column{title: "PROCESS", least: 9, most: 20, drop: 1}, ownerOfTrouble},
	{column{title: "WE", least: 6, most: 6, drop: 5}, roleInTrouble},
	{column{title: "PEER", least: 15, most: 45}, peerOfTrouble},
	{column{title: "PORT", least: 5, most: 5, right: true, drop: 2}, portOfTrouble},
	{column{title: "/s", least: 5, most: 6, right: true, drop: 4}, rateOfTrouble},
	{column{title: "WHY", least: 12, most: 48, drop: 3}, func(_ *View, t *Trouble, _ int) cell {
		return cell{classes(&t.Classes), warn}
	}},
	{column{title: "EPISODES", least: 8, most: 8, right: true, drop: 7}, func(_ *View, t *Trouble, w int) cell {
		return cell{some(t.Episodes, w), plain}
	}},
	{column{title: "LOST", least: 7, most: 8, right: true, drop: 6}, func(_ *View, t *Trouble, _ int) cell {
		return cell{lostTime(t), plain}
	}},
}

// What resets and retransmits have in common.

func lastTrouble(v *View, t *Trouble, _ int) cell { return cell{v.ago(t.Last), plain} }

func ownerOfTrouble(_ *View, t *Trouble, w int) cell {
	return cell{render.Process(&t.Owner.Task, w), plain}
}

func roleInTrouble(_ *View, t *Trouble, _ int) cell { return cell{roleWord(t.Key.Role), faint} }

func peerOfTrouble(_ *View, t *Trouble, w int) cell { return cell{cutLeft(addrName(t), w), plain} }

func portOfTrouble(_ *View, t *Trouble, _ int) cell { return cell{portName(t), plain} }

func countOfTrouble(_ *View, t *Trouble, w int) cell { return cell{number(t.Count, w), bold} }

func rateOfTrouble(_ *View, t *Trouble, _ int) cell { return cell{perSecond(t.PerSecond), plain} }

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

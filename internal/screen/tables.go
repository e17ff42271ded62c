package screen

import (
	"strconv"
	"strings"

	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/render"
)

// table returns the rows of v that the user can move in.
func (v *View) table() *table {
	if v.Query.Focus.Kind != OnList || v.Query.Tab == Connections {
		empty := "no connection"
		if v.Query.Focus.Kind != OnList {
			empty = "none of its connections is known any more: they are over"
		}
		return tableOf(v, v.Conns, connFields, func(c *Conn) Focus { return Focus{Kind: OnConnection, Conn: c.ID} }, empty)
	}
	switch v.Query.Tab {
	case Findings:
		return tableOf(v, v.Findings, findingFields, func(f *diagnose.Finding) Focus {
			return Focus{Kind: OnFinding, Finding: f.ID}
		}, "nothing wrong seen so far; some rules need time: a leak in CLOSE_WAIT shows after 5s")
	case Processes:
		return tableOf(v, v.Groups, processFields, focusOn(OnTimeline), "no process")
	case Peers:
		return tableOf(v, v.Groups, peerFields, focusOn(OnGroup), "no peer")
	case Resets:
		return tableOf(v, v.Troubles, resetFields, onTrouble, "no reset")
	case Retransmits:
		return tableOf(v, v.Troubles, resendFields, onTrouble, "nothing sent again")
	}
	return tableOf(v, v.Groups, listenerFields, focusOn(OnGroup), "nobody listens")
}

func focusOn(kind FocusKind) func(*Group) Focus {
	return func(g *Group) Focus {
		if g.Others {
			return Focus{}
		}
		return Focus{Kind: kind, Group: g.Ref}
	}
}

func onTrouble(t *Trouble) Focus { return Focus{Kind: OnTrouble, Trouble: t.Key} }

var findingFields = []field[diagnose.Finding]{
	{column{title: "SEVERITY", least: 8, most: 8}, func(_ *View, f *diagnose.Finding, _ int) cell {
		return cell{strings.ToUpper(f.Severity.String()), severityStyle(f.Severity)}
	}},
	{column{title: "RULE", least: 14, most: 27}, func(_ *View, f *diagnose.Finding, _ int) cell {
		return cell{f.Rule.Name, severityStyle(f.Severity)}
	}},
	{column{title: "PROCESS", least: 10, most: 20, drop: 1}, func(_ *View, f *diagnose.Finding, w int) cell {
		return cell{render.Process(&f.Process.Task, w), plain}
	}},
	{column{title: "COUNT", least: 6, most: 7, right: true, drop: 2}, func(_ *View, f *diagnose.Finding, w int) cell {
		return cell{number(f.Count, w), plain}
	}},
	{column{title: "LAST", least: 6, most: 7, right: true, drop: 3}, func(v *View, f *diagnose.Finding, _ int) cell {
		return cell{v.ago(f.Last), plain}
	}},
	{column{title: "WHAT", least: 14, most: 200, drop: 4}, func(_ *View, f *diagnose.Finding, _ int) cell {
		return cell{f.Summary, plain}
	}},
}

var connFields = []field[Conn]{
	{column{title: "STATE", least: 11, most: 17}, func(_ *View, c *Conn, _ int) cell {
		if c.Closed != 0 {
			return cell{orDash(c.End.String()), plain}
		}
		return cell{c.State.String(), stateStyles[c.State]}
	}},
	{column{title: "FOR", least: 7, most: 9, right: true}, func(v *View, c *Conn, _ int) cell {
		if c.Closed != 0 {
			return cell{"ended", plain}
		}
		return cell{span(v.Now.Sub(c.Since), c.SinceKnown), plain}
	}},
	{column{title: "PROCESS", least: 12, most: 24, drop: 5}, func(_ *View, c *Conn, w int) cell {
		return cell{render.Process(&c.Process, w), plain}
	}},
	{column{title: "LOCAL", least: 14, most: 47, drop: 3}, func(_ *View, c *Conn, w int) cell {
		return cell{cutLeft(render.Endpoint(c.Local), w), plain}
	}},
	{column{title: "", least: 2, most: 2, drop: 4}, func(_ *View, c *Conn, _ int) cell {
		return cell{arrow(c.Role), faint}
	}},
	{column{title: "REMOTE", least: 16, most: 47}, func(_ *View, c *Conn, w int) cell {
		return cell{cutLeft(render.Endpoint(c.Remote), w), plain}
	}},
	{column{title: "LIFE", least: 7, most: 9, right: true, drop: 7}, func(v *View, c *Conn, _ int) cell {
		until := v.Now
		if c.Closed != 0 {
			until = c.Closed
		}
		return cell{span(until.Sub(c.Opened), c.OpenedKnown), plain}
	}},
	{column{title: "RESENT", least: 6, most: 8, right: true, drop: 6}, func(_ *View, c *Conn, w int) cell {
		return cell{some(uint64(c.Resent), w), resentStyle(uint64(c.Resent))}
	}},
	{column{title: "CONN", least: 8, most: 12, drop: 8}, func(_ *View, c *Conn, _ int) cell {
		if c.ID.Cookie&pseudoBit != 0 {
			return cell{"-", faint}
		}
		return cell{strconv.FormatUint(c.ID.Cookie, 16), faint}
	}},
	{column{title: "NETNS", least: 10, most: 10, drop: 9}, func(_ *View, c *Conn, _ int) cell {
		return cell{strconv.FormatUint(uint64(c.ID.NetNS), 10), faint}
	}},
}

// ago spells how long ago something was.
func (v *View) ago(at event.Time) string { return render.Duration(max(v.Now.Sub(at), 0)) }

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

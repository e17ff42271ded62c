package screen

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/render"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// details is what stands above the rows of a focus; nil for a list.
func (d *Display) details(v *View) []string {
	const gone = "no more is known of it: it is over, and others took its place"
	switch v.Query.Focus.Kind {
	case OnFinding:
		if v.Finding == nil {
			return []string{"the finding is no more: it became part of another", ""}
		}
		return d.finding(v.Finding)
	case OnTimeline:
		if v.Group == nil {
			return []string{gone}
		}
		return d.timeline(v)
	case OnGroup:
		if v.Group == nil {
			return []string{gone, ""}
		}
		return append(d.group(v.Group), "")
	case OnConnection:
		if v.Connection == nil {
			return []string{gone}
		}
		return d.life(v)
	case OnTrouble:
		if v.Trouble == nil {
			return []string{gone, ""}
		}
		return d.trouble(v)
	}
	return nil
}

func (d *Display) clock(at event.Time) string {
	zone := d.options.Zone
	if zone == nil {
		zone = time.Local
	}
	return d.options.Clock.Wall(at).In(zone).Format("15:04:05.000")
}

func (d *Display) finding(f *diagnose.Finding) []string {
	lines := []string{
		paint(severityStyle(f.Severity), strings.ToUpper(f.Severity.String())+" "+f.Rule.Name) + "  " +
			paint(bold, render.Process(&f.Process.Task, 40)),
	}
	add := func(name, text string) { lines = append(lines, named(name, text, d.width)...) }
	add("what", f.Summary)
	add("why", f.Cause)
	if f.Peer.Known() {
		add("other end", render.Process(&f.Peer.Task, 40))
	}
	if f.Actor.Known() {
		add("done by", render.Process(&f.Actor.Task, 40))
	}
	add("evidence", render.Evidence(f))
	add("do", f.Advice)
	add("cost", f.Cost)
	add("more", f.More)
	add("seen", "from "+d.clock(f.First)+" to "+d.clock(f.Last))
	return append(lines, "")
}

// timeline draws a process's connections against time.
func (d *Display) timeline(v *View) []string {
	g := v.Group
	lines := append(d.group(g), "")
	if v.Chart == nil {
		return lines
	}
	chart := &render.Timeline{
		Height:  d.height,
		Options: render.Options{Color: true, Clock: d.options.Clock, Zone: d.options.Zone},
		Width:   d.width, ASCII: d.options.ASCII,
	}
	text := strings.TrimSuffix(string(chart.Append(nil, v.Chart)), "\n")
	all := strings.Split(text, "\n")
	return append(lines, all[1:max(len(all)-1, 1)]...) // without its title and footer
}

// group says what a process, a peer or a listener is in one or two lines.
func (d *Display) group(g *Group) []string {
	head := ""
	switch g.Ref.Tab {
	case Processes:
		head = "process " + processName(g, 60)
		if l := g.Owner.Task.Label; l != nil {
			for _, more := range []string{l.Container, l.Unit} {
				if more != "" {
					head += "  " + cut(render.Safe(more), 40)
					break
				}
			}
		}
	case Peers:
		head = "peer " + peerName(g) + ", we are " + roleWord(g.Role)
	case Listeners:
		head = "listener " + render.Endpoint(g.At) + "  " + render.Process(&g.Owner.Task, 40)
	}
	figures := []string{
		render.Count(uint64(max(g.Open, 0))) + " open", render.Count(g.Opened) + " seen", render.Count(g.Ended) + " ended",
		rateText(g.PerSecond) + " new/s",
	}
	if g.Resets > 0 {
		figures = append(figures, render.Count(g.Resets)+" resets")
	}
	if g.Resent > 0 {
		figures = append(figures, render.Count(g.Resent)+" segments sent again")
	}
	var states []string
	for _, s := range tcp.States() {
		if n := g.States[s]; n > 0 {
			states = append(states, s.String()+" "+render.Count(uint64(n)))
		}
	}
	lines := []string{paint(bold, head)}
	lines = append(lines, wrap(strings.Join(figures, ", "), d.width, 2)...)
	if len(states) > 0 {
		lines = append(lines, wrap(strings.Join(states, "  "), d.width, 2)...)
	}
	if g.Ref.Tab == Listeners {
		lines = append(lines, wrap(queueText(g), d.width, 2)...)
	}
	return lines
}

func queueText(g *Group) string {
	text := "accept queue not known"
	if g.QueueKnown {
		text = fmt.Sprintf("accept queue %d of %d", g.Queue.Length, g.Queue.Limit)
	}
	text += ", " + render.Count(g.Full) + " packets met it full, " + render.Count(g.FullSYN) + " SYNs a full queue of requests"
	if g.DropsKnown {
		text += "; the kernel counts " + render.Count(g.Drops) + " drops"
	}
	return text
}

// life tells one connection's: its states and their lengths, what was sent
// again, resets, and whose it was.
func (d *Display) life(v *View) []string {
	c := v.Connection
	lines := []string{paint(bold, fmt.Sprintf("%s %s %s  %s  sk:%x", render.Endpoint(c.Local), arrow(c.Role), render.Endpoint(c.Remote), roleWord(c.Role), c.ID.Cookie))}
	add := func(name, text string) { lines = append(lines, named(name, text, d.width)...) }
	add("process", ownerText(&c.Owner))
	if c.Closer.Known() && c.Closer.Task.PID != c.Owner.Task.PID {
		add("closed by", ownerText(&c.Closer))
	}
	switch {
	case c.Closed != 0:
		end := orDash(c.End.String())
		if c.Err != 0 {
			end += ", " + c.Err.String()
		}
		if c.ResetCause != conn.ResetCauseNone {
			end += ", " + c.ResetCause.String()
		}
		add("ended", end+" at "+d.clock(c.Closed)+" after "+span(c.Closed.Sub(c.Opened), c.OpenedKnown))
	default:
		add("open", "for "+span(v.Now.Sub(c.Opened), c.OpenedKnown)+", since "+d.clock(c.Opened)+" in netns "+strconv.FormatUint(uint64(c.ID.NetNS), 10))
	}
	if wait, ok := c.AcceptWait(); ok {
		add("accepted", "after "+render.Duration(wait)+" in the queue")
	}
	if !c.Complete {
		add("note", "not all of its life was seen")
	}
	lines = append(lines, d.spans(c, v.Now)...)
	lines = append(lines, d.sentAgain(c, v)...)
	for i := range v.Resets {
		if i == 0 {
			lines = append(lines, "", paint(bold, "resets"))
		}
		lines = append(lines, "  "+d.reset(&v.Resets[i]))
	}
	if len(c.Owners) > 0 {
		lines = append(lines, "", paint(bold, "whose it was known to be"))
		for i := range c.Owners {
			lines = append(lines, "  "+d.clock(c.Owners[i].Time)+"  "+ownerText(&c.Owners[i].Owner))
		}
	}
	return lines
}

func ownerText(o *conn.Owner) string {
	if !o.Known() {
		return "not known"
	}
	return render.Process(&o.Task, 40) + ", known by " + orDash(o.Via.String())
}

// spans lists the states of a life, with a bar as long as each took.
func (d *Display) spans(c *Life, now event.Time) []string {
	lines := []string{"", paint(bold, "states")}
	if c.SpansCut > 0 {
		lines = append(lines, fmt.Sprintf("  %d earlier ones are not kept", c.SpansCut))
	}
	until := now
	if c.Closed != 0 {
		until = c.Closed
	}
	var longest time.Duration
	length := func(s *conn.Span) time.Duration {
		end := s.End
		if end == 0 {
			end = until
		}
		return max(end.Sub(s.Begin), 0)
	}
	for i := range c.Spans {
		longest = max(longest, length(&c.Spans[i]))
	}
	const used = 2 + 11 + 1 + 9 + 2 + 12 + 2
	room := min(d.width-used, 60)
	for i := range c.Spans {
		s := &c.Spans[i]
		text := "  " + paint(stateStyles[s.State], fit(s.State.String(), 11)) + " " + right(bound(length(s), s.Bound()), 9) + "  " + d.clock(s.Begin)
		if room > 0 && longest > 0 {
			fill := "█"
			if d.options.ASCII {
				fill = "#"
			}
			n := int(int64(length(s)) * int64(room) / int64(longest))
			text += "  " + paint(stateStyles[s.State], strings.Repeat(fill, max(n, 1)))
		}
		lines = append(lines, text)
	}
	return lines
}

// bound spells a stay of which only a bound may be known.
func bound(l time.Duration, b conn.Bound) string {
	switch b {
	case conn.AtLeast:
		return ">=" + render.Duration(l)
	case conn.AtMost:
		return "<=" + render.Duration(l)
	case conn.Unbound:
		return "-"
	}
	return render.Duration(l)
}

func (d *Display) sentAgain(c *Life, v *View) []string {
	if c.Resent() == 0 && len(v.Resends) == 0 {
		return nil
	}
	var all [conn.NumClasses]uint64
	for class, n := range c.Retransmits {
		all[class] = uint64(n)
	}
	head := "sent again: " + render.Count(c.Resent()) + " segments (" + classes(&all) + ")"
	if c.Episodes > 0 {
		head += ", " + several(uint64(c.Episodes), "loss episode")
		if c.SpuriousEpisodes > 0 {
			head += fmt.Sprintf(" (%d needless)", c.SpuriousEpisodes)
		}
		head += ", " + span(c.EpisodeTime, !c.EpisodeTimeAtLeast) + " lost"
	}
	lines := append([]string{""}, wrap(head, d.width, 2)...)
	lines[1] = paint(bold, lines[1])
	for i := range v.Resends {
		lines = append(lines, "  "+d.resend(&v.Resends[i]))
	}
	return lines
}

func (d *Display) resend(r *Resend) string {
	text := d.clock(r.Time) + "  " + r.Class.String() + " in " + r.State.String()
	if r.Segments != 1 {
		text += fmt.Sprintf(", %d segments", r.Segments)
	}
	if r.Bytes > 0 {
		text += fmt.Sprintf(", %d bytes", r.Bytes)
	}
	if r.RTOms > 0 {
		text += fmt.Sprintf(", rto %dms", r.RTOms)
	}
	if r.SRTTus > 0 {
		text += ", srtt " + render.Duration(time.Duration(r.SRTTus)*time.Microsecond)
	}
	if r.Cwnd > 0 {
		text += fmt.Sprintf(", cwnd %d", r.Cwnd)
	}
	return text
}

func (d *Display) reset(r *Reset) string {
	way := "sent"
	if r.Received {
		way = "received"
	}
	text := d.clock(r.Time) + "  " + way
	if r.State.Valid() {
		text += " in " + r.State.String()
	}
	text += ": " + orDash(r.Cause.String())
	if r.Inferred {
		text += "?"
	}
	if r.Reason != "" {
		text += " (kernel: " + render.Safe(r.Reason) + ")"
	}
	if r.Count > 1 {
		text += fmt.Sprintf(", %d of them", r.Count)
	}
	if r.Actor.Known() {
		text += " by " + render.Process(&r.Actor, 30)
	}
	if r.PeerOwner.Known() {
		text += ", other end " + render.Process(&r.PeerOwner.Task, 30)
	}
	return text
}

// trouble says what a group of resets or retransmits is, and lists the last.
func (d *Display) trouble(v *View) []string {
	t := v.Trouble
	head := "sent again to "
	if v.Query.Tab == Resets {
		head = "RST sent to "
		if t.Key.Received {
			head = "RST received from "
		}
	}
	head += addrName(t)
	if p := portName(t); p != "-" {
		head += ", service port " + p
	}
	head += ", we are " + roleWord(t.Key.Role) + "  " + render.Process(&t.Owner.Task, 40)
	lines := []string{paint(bold, head)}
	add := func(name, text string) { lines = append(lines, named(name, text, d.width)...) }
	add("count", render.Count(t.Count)+" since "+d.clock(t.First)+", "+rateText(t.PerSecond)+" a second of late")
	if v.Query.Tab == Resets {
		add("cause", causeName(t)+"; docs/resets.md says what it is told by")
	} else {
		add("why", classes(&t.Classes))
		if t.Episodes > 0 {
			add("loss", fmt.Sprintf("%s, %d of them needless, %s lost", several(t.Episodes, "episode"), t.Spurious, lostTime(t)))
		}
	}
	most := max(3, d.height/4)
	for i := range v.Resets[:min(len(v.Resets), most)] {
		lines = append(lines, "  "+d.reset(&v.Resets[i]))
	}
	for i := range v.Resends[:min(len(v.Resends), most)] {
		lines = append(lines, "  "+d.resend(&v.Resends[i]))
	}
	return append(lines, "")
}

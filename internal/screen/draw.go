package screen

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/render"
)

// draw makes the whole picture: as many lines as the terminal has, none longer
// than it is wide.
func (d *Display) draw() string {
	if d.width <= 0 || d.height <= 0 {
		return ""
	}
	var lines []string
	switch {
	case d.view == nil:
		lines = []string{"tcptrace watch", "reading the sockets that are open ..."}
	case d.help:
		lines = d.helpText()
	default:
		lines = d.picture()
	}
	if len(lines) > d.height {
		lines = lines[:d.height]
	}
	for i := range lines {
		if columns(lines[i]) > d.width {
			lines[i] = cut(lines[i], d.width)
		}
	}
	return strings.Join(lines, "\n")
}

func (d *Display) picture() []string {
	v := d.view
	short := d.height < stripHeight || v.Query.Focus.Kind != OnList
	lines := d.header(v, short)
	lines = append(lines, d.strip(v, short)...)
	lines = append(lines, d.tabs(v))
	footer := d.footer(v)
	room := d.height - len(lines) - len(footer)
	if room > 0 {
		body := d.body(v, room)
		for len(body) < room {
			body = append(body, "")
		}
		lines = append(lines, body[:room]...)
	}
	if over := len(lines) + len(footer) - d.height; over > 0 { // what is typed, or was asked for, is seen
		lines = lines[:max(0, len(lines)-over)]
	}
	return append(lines, footer...)
}

// header says what is watched, and what that costs.
func (d *Display) header(v *View, short bool) []string {
	at := d.options.Clock.Wall(v.Now)
	if d.options.Zone != nil {
		at = at.In(d.options.Zone)
	} else {
		at = at.In(time.Local)
	}
	head := "tcptrace watch"
	if d.options.Host != "" && d.width >= 60 {
		head += "  " + render.Safe(d.options.Host)
	}
	if d.options.Kernel != "" && d.width >= 60 {
		head += "  Linux " + render.Safe(d.options.Kernel)
	}
	tail := at.Format("15:04:05")
	if d.paused {
		tail = "PAUSED " + tail
	}
	first := paint(bold, fit(head, max(d.width-columns(tail)-1, 0))) + " "
	if d.paused {
		first += paint(alert, tail)
	} else {
		first += tail
	}
	figures := d.figures(v)
	if short && d.height < 16 {
		if v.Lost > 0 || d.paused {
			return []string{cut(tail+"  "+figures, d.width)}
		}
		return []string{cut(figures, d.width)}
	}
	return []string{first, figures}
}

// figures says how much there is, what was lost, what it costs, and what is
// selected.
func (d *Display) figures(v *View) string {
	parts := []string{rateText(v.EventsPerSecond) + " events/s"}
	lost := "lost 0"
	if v.Lost > 0 {
		lost = paint(critical, "LOST "+render.Count(v.Lost))
	}
	parts = append(parts, lost)
	costs := []string{"cpu " + percent(v.Cost.CPU), "mem " + size(v.Cost.Memory)}
	if v.Cost.BPF > 0 {
		costs = append(costs, "bpf "+render.Duration(v.Cost.BPF)+"/event")
	}
	if v.Note != "" {
		parts = append(parts, paint(alert, render.Safe(v.Note)))
	}
	if f := d.selection(v); f != "" {
		parts = append(parts, paint(note, f))
	}
	for { // as much of the cost as there is room for
		line := strings.Join(slices.Insert(slices.Clone(parts), 2, costs...), "  ")
		if len(costs) == 0 || columns(line) <= d.width {
			return line
		}
		costs = costs[:len(costs)-1]
	}
}

// selection spells the filters in force: the screen's, behind a slash, and that of
// the command line.
func (d *Display) selection(v *View) string {
	f := strings.Join(d.options.Selected, " ")
	if v.Query.Filter != nil && v.Query.Filter.Text != "" {
		f = strings.TrimSpace("/" + v.Query.Filter.Text + "  " + f)
	}
	return render.Safe(f)
}

// percent spells a share of one core.
func percent(f float64) string {
	if f < 0.0995 {
		return strconv.FormatFloat(100*f, 'f', 1, 64) + "%"
	}
	return strconv.FormatFloat(100*f, 'f', 0, 64) + "%"
}

var (
	tabsShort = [NumTabs]string{"find", "conns", "procs", "peers", "resets", "retrans", "listen"}
	tabsTiny  = [NumTabs]string{"fi", "co", "pr", "pe", "rs", "rt", "li"}
)

// tabs draws the keys of the lists; the one that is open is in brackets.
func (d *Display) tabs(v *View) string {
	bad := v.Found[diagnose.Critical] + v.Found[diagnose.Warning]
	for _, names := range [...]*[NumTabs]string{&tabNames, &tabsShort, &tabsTiny} {
		var parts []string
		length := -1
		for i, name := range names {
			part := strconv.Itoa(i+1) + " " + name
			if names == &tabsTiny {
				part = strconv.Itoa(i+1) + name
			}
			if Tab(i) == Findings && bad > 0 {
				part += "(" + strconv.Itoa(bad) + ")"
			}
			open := Tab(i) == v.Query.Tab
			if open {
				part = "[" + part + "]"
			}
			length += len(part) + 1
			switch {
			case open:
				part = paint(inverted, part)
			case Tab(i) == Findings && bad > 0:
				part = paint(severityStyle(v.worst()), part)
			}
			parts = append(parts, part)
		}
		if length <= d.width || names == &tabsTiny {
			return strings.Join(parts, " ")
		}
	}
	return ""
}

// body draws the list, or the details.
func (d *Display) body(v *View, room int) []string {
	text := d.details(v)
	if v.Query.Focus.Kind == OnTimeline || v.Query.Focus.Kind == OnConnection {
		d.docRows = 0
		d.clampTop(len(text), room)
		return text[d.top:min(d.top+room, len(text))]
	}
	t := v.table()
	d.docRows, d.before, d.room = t.len, 0, room-1
	if len(text) > 0 {
		d.before, d.room = len(text)+1, room
	}
	d.reveal()
	from := max(d.top-d.before, 0)
	to := max(min(d.top+d.room-d.before, t.len), from)
	widths := d.widths(t, from, to)
	head := "  " + paint(bold, t.head(widths))
	var rows []string
	if t.len == 0 {
		if len(text) > 0 {
			head = "" // of no rows
		}
		rows = wrap(t.empty, d.width-2, 0)
		for i := range rows {
			rows[i] = "  " + rows[i]
		}
	} else {
		rows = d.drawRows(t, widths, from, to)
	}
	if len(text) == 0 { // the head of a list stays where it is
		return append(append([]string{head}, rows...), d.preview(v, room-1-len(rows))...)
	}
	all := append(append(text, head), make([]string, from)...)
	all = append(all, rows...)
	return all[min(d.top, len(all)):min(d.top+max(room, 0), len(all))]
}

// preview tells of the selected finding what its row has no room for, in the lines
// that the rows leave.
func (d *Display) preview(v *View, room int) []string {
	const least = 4 // lines: a blank one, and what is wrong
	if room < least || d.selected >= len(v.Findings) {
		return nil
	}
	f := &v.Findings[d.selected]
	lines := []string{""}
	for _, part := range [...][2]string{{"what", f.Summary}, {"why", f.Cause}, {"do", f.Advice}} {
		more := named(part[0], part[1], d.width)
		if len(lines)+len(more) > room {
			break
		}
		lines = append(lines, more...)
	}
	return lines
}

// widths lays out a table. As long as the list is the same, columns only grow.
func (d *Display) widths(t *table, from, to int) []int {
	list := Query{Tab: d.view.Query.Tab, Focus: d.view.Query.Focus}
	if d.needs == nil || d.needsOf != list || len(d.needs) != len(t.columns) {
		d.needs, d.needsOf = make([]int, len(t.columns)), list
	}
	t.measure(d.needs, from, to)
	return t.layout(d.width-2, d.needs)
}

func (d *Display) drawRows(t *table, widths []int, from, to int) (lines []string) {
	for i := from; i < to; i++ {
		if i == d.selected {
			lines = append(lines, paint(inverted, fit("> "+t.row(i, widths, true), d.width)))
		} else {
			lines = append(lines, "  "+t.row(i, widths, false))
		}
	}
	return lines
}

// reveal moves the picture so that the selected row is in it, if it has just been
// moved.
func (d *Display) reveal() {
	if d.docRows == 0 {
		d.selected = 0
		d.clampTop(d.before+1, d.room)
		return
	}
	d.selected = max(0, min(d.selected, d.docRows-1))
	if d.moved {
		at := d.before + d.selected
		d.top = max(min(d.top, at), at-d.room+1)
	}
	d.moved = false
	d.clampTop(d.before+d.docRows, d.room)
}

// hidden reports whether the selected row is not in the picture because there is
// much text above the rows.
func (d *Display) hidden() bool {
	at := d.before + d.selected
	return d.before > 0 && (at < d.top || at >= d.top+d.room)
}

func (d *Display) clampTop(lines, room int) { d.top = max(0, min(d.top, lines-room)) }

// footer says which keys there are, takes in a filter, or says what was asked for,
// whole.
func (d *Display) footer(v *View) []string {
	switch {
	case d.typing:
		return d.filterLines()
	case d.said != "":
		return painted(note, wrap(d.said, d.width, 2))
	}
	return []string{d.keyLine(v)}
}

// filterLines are those in which a filter is typed; the end of a long one is seen.
func (d *Display) filterLines() []string {
	const name = "filter: "
	line := name + lastColumns(render.Safe(d.input)+"_", d.width-len(name))
	hint := "   flags as on the command line; Enter applies, Esc leaves"
	if columns(line)+len(hint) <= d.width {
		line += paint(faint, hint)
	}
	var lines []string
	if d.inputError != "" {
		lines = painted(alarm, wrap(render.Safe(d.inputError), d.width, 2))
	}
	return append(lines, line)
}

// keyLine names keys, and says where in the rows the user is.
func (d *Display) keyLine(v *View) string {
	keys := "Enter opens  Esc back  / filter  s sort  p pause  w record  y command  ? help  q quit"
	if v.Query.Focus.Kind == OnTimeline {
		keys = "Enter its connections  Esc back  y command  ? help  q quit"
	}
	if d.width < 60 {
		keys = "/ filter  s sort  ? help  q quit"
	}
	where := ""
	if t := v.Query.Focus.Kind; t != OnTimeline && t != OnConnection && v.Total > 0 {
		where = fmt.Sprintf("%s of %s", render.Count(uint64(d.selected+1)), render.Count(uint64(v.Total)))
		if t == OnList || t == OnGroup {
			where += " by " + v.Query.order()
		}
		if v.Query.Reverse {
			where += ", reversed"
		}
	}
	room := d.width - len(where) - 1
	if room < 8 {
		return paint(faint, cut(where, d.width))
	}
	return paint(faint, fit(keepWhole(keys, room), room)+" "+where)
}

// keepWhole leaves out the keys for which there is no room, rather than a part
// of one; the last two stay.
func keepWhole(keys string, room int) string {
	parts := strings.Split(keys, "  ")
	for len(parts) > 2 && len(strings.Join(parts, "  ")) > room {
		parts = append(parts[:len(parts)-3], parts[len(parts)-2:]...)
	}
	return cut(strings.Join(parts, "  "), room)
}

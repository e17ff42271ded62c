package screen

import (
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
)

// press takes in a key, and says whether it ends the screen.
func (d *Display) press(key tea.KeyPressMsg) (quit bool) {
	name := key.String()
	switch {
	case name == "ctrl+c":
		return true
	case d.typing:
		d.typed(name, key.Text)
		return false
	case d.help:
		d.helpKey(name)
		return false
	}
	d.said = ""
	if needsRows(name) && !d.answered() {
		d.ahead = append(d.ahead, key)
		return false
	}
	d.ahead = nil
	switch name {
	case "q", "Q":
		return true
	case "?", "h", "f1":
		d.help, d.helpTop = true, 0
	case "1", "2", "3", "4", "5", "6", "7":
		d.open(Tab(name[0] - '1'))
	case "tab", "right", "l":
		d.open((d.query.Tab + 1) % NumTabs)
	case "shift+tab", "left":
		d.open((d.query.Tab + NumTabs - 1) % NumTabs)
	case "enter":
		d.enter()
	case "esc", "backspace":
		d.back()
	case "/":
		d.typing, d.inputError, d.input = true, "", ""
		if d.query.Filter != nil {
			d.input = d.query.Filter.Text
		}
	case "s":
		d.sort()
	case "S":
		d.setOrder(order{d.query.Sort, !d.query.Reverse})
	case "p", "space":
		d.paused = !d.paused
	case "w":
		d.shared.record.Add(1)
	case "y":
		d.said = d.Command()
	default:
		d.move(name)
	}
	return false
}

// open shows a list.
func (d *Display) open(t Tab) {
	d.past = nil
	o := d.orders[t]
	d.show(Query{Tab: t, Sort: o.sort, Reverse: o.reverse, Filter: d.query.Filter})
}

// show asks for something else, and begins at its first row.
func (d *Display) show(q Query) {
	d.query = q
	d.selected, d.chosen, d.top, d.moved = 0, Focus{}, 0, false
	d.ask()
}

// enter looks closer at the selected row.
func (d *Display) enter() {
	v := d.view
	var to Focus
	switch v.Query.Focus.Kind {
	case OnTimeline:
		to = Focus{Kind: OnGroup, Group: v.Query.Focus.Group}
	case OnConnection:
		return
	default:
		t := v.table()
		if d.selected >= t.len {
			return
		}
		to = t.focus(d.selected)
	}
	if to.Kind == OnList {
		return
	}
	d.past = append(d.past, place{d.query, d.selected, d.chosen, d.top})
	d.show(Query{Tab: d.query.Tab, Filter: d.query.Filter, Focus: to})
}

// needsRows reports whether what a key does depends on the rows that are shown.
func needsRows(key string) bool {
	switch key {
	case "enter", "up", "k", "down", "j", "pgup", "ctrl+b", "pgdown", "ctrl+f", "home", "g", "end", "G":
		return true
	}
	return false
}

// catchUp takes in the keys that waited for the rows which are shown now.
func (d *Display) catchUp() {
	for keys := d.ahead; len(keys) > 0 && d.answered(); keys = keys[1:] {
		d.content = d.draw() // which counts the rows
		d.ahead = nil
		d.press(keys[0])
		d.ahead = keys[1:]
	}
}

// answered reports whether what is shown is what was asked for.
func (d *Display) answered() bool {
	if d.view == nil {
		return false
	}
	a, b := d.view.Query, d.query
	a.Rows, b.Rows = 0, 0
	return a == b
}

// back undoes enter.
func (d *Display) back() {
	if len(d.past) == 0 {
		return
	}
	p := d.past[len(d.past)-1]
	d.past = d.past[:len(d.past)-1]
	filter := d.query.Filter
	d.show(p.query)
	d.query.Filter = filter
	d.selected, d.chosen, d.top = p.selected, p.chosen, p.top
	d.ask()
}

// sort puts the rows in the next order there is.
func (d *Display) sort() {
	all := Sorts(d.query.list())
	at := slices.Index(all, d.query.order())
	d.setOrder(order{all[(at+1)%len(all)], false})
}

func (d *Display) setOrder(o order) {
	switch d.query.Focus.Kind {
	case OnList:
		d.orders[d.query.Tab] = o
	case OnGroup:
	default:
		return // its rows have an order of their own
	}
	q := d.query
	q.Sort, q.Reverse = o.sort, o.reverse
	d.show(q)
}

// typed takes in a key of the filter.
func (d *Display) typed(name, text string) {
	d.inputError = ""
	switch name {
	case "esc":
		d.typing = false
	case "enter":
		d.apply()
	case "backspace":
		if r := []rune(d.input); len(r) > 0 {
			d.input = string(r[:len(r)-1])
		}
	case "ctrl+u":
		d.input = ""
	default:
		d.input += text
	}
}

// apply selects what was typed.
func (d *Display) apply() {
	text := strings.Join(strings.Fields(d.input), " ")
	if text == "" {
		d.typing = false
		d.query.Filter = nil
	} else {
		f, err := d.options.ParseFilter(text)
		if err != nil {
			d.inputError = err.Error()
			return
		}
		d.typing = false
		d.query.Filter = &Selection{Text: text, Filter: f}
	}
	d.show(d.query)
}

func (d *Display) helpKey(name string) {
	switch name {
	case "up", "k":
		d.helpTop--
	case "down", "j", "space", "pgdown":
		d.helpTop++
	default:
		d.help = false
	}
}

// move moves the selected row or, where there is none, the text.
func (d *Display) move(name string) {
	page := max(1, d.height-12)
	by := 0
	switch name {
	case "up", "k":
		by = -1
	case "down", "j":
		by = 1
	case "pgup", "ctrl+b":
		by = -page
	case "pgdown", "ctrl+f":
		by = page
	case "home", "g":
		by = -mostRows
	case "end", "G":
		by = mostRows
	default:
		return
	}
	if d.view == nil {
		return
	}
	if d.docRows == 0 || by < 0 && d.selected == 0 || d.hidden() {
		d.top += by // the text above the rows; draw puts it right
		return
	}
	total := min(d.view.Total, mostRows)
	if d.view.Query.Focus.Kind != OnList {
		total = min(total, d.docRows)
	}
	d.selected = max(0, min(d.selected+by, total-1))
	d.moved = true
	d.remember()
	d.ask()
}

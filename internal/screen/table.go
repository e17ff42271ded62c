package screen

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// A column of a table on the screen.
type column struct {
	title string
	least int  // columns of the terminal, below which it is left out
	most  int  // that it can make use of
	right bool // figures stand to the right
	drop  int  // the greater, the sooner it is left out; 0 never
}

// A cell is the text of one column in one row, and how it looks.
type cell struct {
	text  string
	style style
}

// A table is rows that the user can move in. Only the rows that are seen are
// spelled.
type table struct {
	columns []column
	len     int
	key     func(row int) any   // what names the row, to find it again
	focus   func(row int) Focus // what Enter looks at; Kind OnList for nothing
	// cells spells a row, each cell in at most so many columns; what has none is
	// not shown.
	cells func(row int, widths []int) []cell
	empty string // what to say where there are no rows
}

// measure widens what each column needs for some rows, and its title.
func (t *table) measure(needs []int, from, to int) {
	most := make([]int, len(t.columns))
	for i := range t.columns {
		most[i] = t.columns[i].most
		needs[i] = max(needs[i], len(t.columns[i].title))
	}
	for row := from; row < to; row++ {
		for i, c := range t.cells(row, most) {
			needs[i] = max(needs[i], min(ansi.StringWidth(c.text), most[i]))
		}
	}
}

// layout gives each column its width, 0 where there is no room for it, and none
// more than it needs.
func (t *table) layout(width int, needs []int) []int {
	widths := make([]int, len(t.columns))
	left := width
	for i := range t.columns {
		widths[i] = min(t.columns[i].least, needs[i])
		left -= widths[i] + 1
	}
	left++ // no gap behind the last
	for left < 0 {
		worst := -1
		for i := range t.columns {
			if widths[i] > 0 && t.columns[i].drop > 0 && (worst < 0 || t.columns[i].drop > t.columns[worst].drop) {
				worst = i
			}
		}
		if worst < 0 {
			break
		}
		left += widths[worst] + 1
		widths[worst] = 0
	}
	for grown := true; grown && left > 0; {
		grown = false
		for i := range t.columns {
			if left > 0 && widths[i] > 0 && widths[i] < needs[i] {
				widths[i]++
				left--
				grown = true
			}
		}
	}
	return widths
}

func (t *table) head(widths []int) string {
	var parts []string
	for i := range t.columns {
		if widths[i] == 0 {
			continue
		}
		if t.columns[i].right {
			parts = append(parts, right(t.columns[i].title, widths[i]))
		} else {
			parts = append(parts, fit(t.columns[i].title, widths[i]))
		}
	}
	return strings.Join(parts, " ")
}

// row spells one row. The selected one is marked for those who see no colour,
// too.
func (t *table) row(i int, widths []int, selected bool) string {
	var parts []string
	for k, c := range t.cells(i, widths) {
		if widths[k] == 0 {
			continue
		}
		text := ""
		if t.columns[k].right {
			text = right(c.text, widths[k])
		} else {
			text = fit(c.text, widths[k])
		}
		if !selected {
			text = paint(c.style, text)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " ")
}

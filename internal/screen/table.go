package screen

import "strings"

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

// A table is rows that the user can move in. Only the cells that are seen are
// spelled.
type table struct {
	columns []column
	len     int
	focus   func(row int) Focus // what Enter looks at, and what names the row; Kind OnList for nothing
	cell    func(row, column, width int) cell
	empty   string // what to say where there are no rows
}

// A field is one column of a list of T, and what a row says in it. A cell that is
// wider than width is cut.
type field[T any] struct {
	column
	cell func(v *View, row *T, width int) cell
}

// tableOf makes a table of rows of v.
func tableOf[T any](v *View, rows []T, fields []field[T], focus func(*T) Focus, empty string) *table {
	columns := make([]column, len(fields))
	for i := range fields {
		columns[i] = fields[i].column
	}
	return &table{
		columns: columns,
		len:     len(rows),
		focus:   func(row int) Focus { return focus(&rows[row]) },
		cell:    func(row, column, width int) cell { return fields[column].cell(v, &rows[row], width) },
		empty:   empty,
	}
}

// measure widens what each column needs for some rows, and its title.
func (t *table) measure(needs []int, from, to int) {
	for i := range t.columns {
		most := t.columns[i].most
		needs[i] = max(needs[i], len(t.columns[i].title))
		for row := from; row < to && needs[i] < most; row++ {
			needs[i] = max(needs[i], min(columns(t.cell(row, i, most).text), most))
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
	// What is never left out is whole first.
	left = t.grow(widths, needs, left, func(c *column) bool { return c.drop == 0 })
	t.grow(widths, needs, left, func(*column) bool { return true })
	return widths
}

// grow gives some columns what they need of what is left, in turn, and returns
// what is left then.
func (t *table) grow(widths, needs []int, left int, which func(*column) bool) int {
	for grown := true; grown && left > 0; {
		grown = false
		for i := range t.columns {
			if left > 0 && widths[i] > 0 && widths[i] < needs[i] && which(&t.columns[i]) {
				widths[i]++
				left--
				grown = true
			}
		}
	}
	return left
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
	for k, width := range widths {
		if width == 0 {
			continue
		}
		c := t.cell(i, k, width)
		text := ""
		if t.columns[k].right {
			text = right(c.text, width)
		} else {
			text = fit(c.text, width)
		}
		if !selected {
			text = paint(c.style, text)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " ")
}

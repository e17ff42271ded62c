package render

import "io"

// A column of a table. Figures stand to the right.
type column struct {
	name  string
	right bool
	width int // of its widest cell, and its name
	ipv4  int // the same, but for cells that are wider than an IPv4 endpoint
}

type cell struct {
	size  uint16 // in table.b, behind the cell before it
	width uint16 // columns of a terminal
}

// A table gathers cells, row after row, and then knows how wide each column
// must be.
type table struct {
	line
	columns []column
	cells   []cell
}

func newTable(color bool, rows int, columns ...column) *table {
	t := &table{columns: columns, cells: make([]cell, 0, rows*len(columns))}
	t.color = color
	t.b = make([]byte, 0, rows*96)
	for i := range t.columns {
		t.columns[i].width = len(t.columns[i].name)
		t.columns[i].ipv4 = len(t.columns[i].name)
	}
	return t
}

// next ends a cell, and begins that of the next column.
func (t *table) next() {
	c := &t.columns[len(t.cells)%len(t.columns)]
	w := t.width()
	c.width = max(c.width, w)
	if w <= endpointWidth {
		c.ipv4 = max(c.ipv4, w)
	}
	t.cells = append(t.cells, cell{uint16(len(t.b) - t.begin), uint16(w)})
	t.cell()
}

// total returns how many columns of a terminal the table takes.
func (t *table) total() int {
	n := len(t.columns) - 1
	for i := range t.columns {
		n += t.columns[i].width
	}
	return n
}

// chunk is about how much text is handed over at a time.
const chunk = 64 << 10

// writeTo writes the table with a head.
func (t *table) writeTo(w io.Writer) error {
	last := len(t.columns) - 1
	b := make([]byte, 0, chunk+4096)
	for i := range t.columns {
		c := &t.columns[i]
		b = appendCell(b, c.name, len(c.name), c, i == last)
	}
	rest := t.b
	for n := 0; n < len(t.cells); {
		for i := range t.columns {
			c := t.cells[n]
			b = appendCell(b, rest[:c.size], int(c.width), &t.columns[i], i == last)
			rest = rest[c.size:]
			n++
		}
		if len(b) >= chunk {
			if _, err := w.Write(b); err != nil {
				return err
			}
			b = b[:0]
		}
	}
	_, err := w.Write(b)
	return err
}

func appendCell[T string | []byte](b []byte, text T, width int, c *column, last bool) []byte {
	if c.right {
		b = appendSpaces(b, c.width-width)
	}
	b = append(b, text...)
	if last {
		return append(b, '\n')
	}
	if !c.right {
		b = appendSpaces(b, c.width-width)
	}
	return append(b, ' ')
}

const blank = "                                                                "

func appendSpaces(b []byte, n int) []byte {
	for ; n > len(blank); n -= len(blank) {
		b = append(b, blank...)
	}
	return append(b, blank[:max(n, 0)]...)
}

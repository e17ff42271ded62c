package report

import "html"

// Bytes of the page that its parts may take, so that all of it stays below
// 2,000,000. The rest is the style, the script, the charts of the states and what
// the host allows, some 100,000 together.
const (
	connectionBytes = 1_000_000
	barBytes        = 450_000
	findingBytes    = 160_000
	tableBytes      = 120_000 // of each of the four other tables
)

// A budget is a number of bytes that are left.
type budget int

// budget returns the share of so many bytes that is a page's.
func (l *Limits) budget(bytes int) budget { return budget(bytes / l.Share) }

// take reports whether there is room for n bytes more, and takes them if so.
func (b *budget) take(n int) bool {
	if *b < budget(n) {
		*b = 0 // what comes later is of lower rank
		return false
	}
	*b -= budget(n)
	return true
}

// bytes returns about how much r takes, or a little more.
func (r *row) bytes() int {
	n := len(`<tr></tr>`) + 1 + len(` id=""`) + len(r.ID)
	for _, c := range r.Cells {
		n += len(`<td class="m"></td>`) + len(html.EscapeString(c.Text))
	}
	return n + len(` scope="row"`)
}

func (f *finding) bytes() int {
	n := 400
	for _, l := range f.Lines {
		n += 30 + len(html.EscapeString(l.Value))
	}
	for _, e := range f.Evidence {
		n += 60 + len(e.Name) + len(html.EscapeString(e.Meaning)) + len(html.EscapeString(e.Value))
	}
	return n + len(f.Conns)*50 + len(html.EscapeString(f.More+f.Process))
}

func (b *bar) bytes() int { return 130 + len(b.Name) + len(b.Drawing) + len(b.Life) + len(b.End) }

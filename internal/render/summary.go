package render

import (
	"io"
	"strconv"

	"github.com/tcptrace/tcptrace/internal/census"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// WriteSummary writes a table of how many sockets are in which state, for
// each of rows, and their sum.
func (o *Options) WriteSummary(w io.Writer, rows []census.Row, total *census.Row) error {
	columns := []column{{name: "PROCESS"}}
	containers := false
	for i := range rows {
		containers = containers || rows[i].Owner.Label != nil && rows[i].Owner.Label.Container != ""
	}
	if containers {
		columns = append(columns, column{name: "CONTAINER"})
	}
	columns = append(columns, column{name: "TOTAL", right: true})
	var states []tcp.State
	for _, s := range tcp.States() {
		if total.States[s] > 0 {
			states = append(states, s)
			columns = append(columns, column{name: s.String(), right: true})
		}
	}
	t := newTable(o.Color, len(rows)+1, columns...)
	for i := range rows {
		t.summary(&rows[i], states, containers)
	}
	t.summary(total, states, containers)
	return t.writeTo(w)
}

func (t *table) summary(r *census.Row, states []tcp.State, containers bool) {
	switch r.Group {
	case census.Process:
		t.process(&r.Owner, processWidth)
	case census.Orphans:
		t.text("(orphans)")
	case census.NoOwner:
		t.text("(no process)")
	case census.Everyone:
		t.text("total")
	}
	t.next()
	if containers {
		t.label(r.Owner.Label)
		t.next()
	}
	t.b = strconv.AppendUint(t.b, r.Total, 10)
	t.next()
	for _, s := range states {
		if n := r.States[s]; n > 0 {
			t.paint(colors[s], strconv.FormatUint(n, 10))
		} else {
			t.text("-")
		}
		t.next()
	}
}

package render

import (
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/join"
	"github.com/tcptrace/tcptrace/internal/timeline"
)

// AppendEnds appends the connections that two hosts have in common, at most so
// many: under a line that names the processes both ends, one above the other, on
// one axis. The second host's times are moved to the first one's clock.
func (t *Timeline) AppendEnds(b []byte, n *join.Network, k *join.Link, most int) []byte {
	pairs := n.Worst(k, most)
	var all []conn.Connection
	var last event.Time
	for _, p := range pairs {
		first, second := n.Ends(k, p)
		all = append(all, first, second)
		last = max(last, first.Closed, first.Since, second.Closed, second.Since)
	}
	c := timeline.Beside(all, last)
	w := t.measure(c)
	c.Draw(w.cells)
	l := line{b: b, color: t.Color}
	above, below := &n.Hosts[k.A], &n.Hosts[k.B]
	l.text("\nBoth ends of " + countOf(uint64(len(k.Pairs)), "connection") + ": " + above.Name + " above, " + below.Name + " below\n")
	l.axis(&w, c)
	rows := c.Processes[0].Rows
	for i, p := range pairs {
		l.text(" ")
		l.at(above, &all[2*i])
		l.text(" and ")
		l.at(below, &all[2*i+1])
		if p.Ambiguous {
			l.text(" (another pair would have done as well)")
		}
		l.text("\n")
		l.row(t, &w, &rows[2*i])
		l.row(t, &w, &rows[2*i+1])
	}
	if left := len(k.Pairs) - len(pairs); left > 0 {
		l.text(" and " + group(uint64(left)) + " more; --rows shows more\n")
	}
	return l.b
}

// at names a process and its host.
func (l *line) at(h *join.Host, c *conn.Connection) {
	l.cell()
	l.process(&c.Owner.Task, findingNameWidth)
	l.text(" on " + h.Name)
}

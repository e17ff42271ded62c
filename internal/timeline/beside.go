package timeline

import (
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// Beside lays out connections in the order in which they are given, a row each of
// one process that has no name. Those that are open lasted until now.
func Beside(all []conn.Connection, now event.Time) *Chart {
	p := &Process{Rows: make([]Row, len(all))}
	for i := range all {
		p.Rows[i].Conn = &Connection{Connection: all[i]}
		p.Rows[i].measure(now)
	}
	c := &Chart{To: now, Processes: []*Process{p}, Connections: len(all)}
	c.fit(now)
	return c
}

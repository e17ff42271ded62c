package metrics

import (
	"iter"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Census counts the sockets that are open now, lets go of subjects that are
// over, and takes in the tracker's figures. It looks at every socket, which
// takes a tenth of a second for a million.
func (m *Metrics) Census(open iter.Seq[*conn.Connection], now event.Time, h Health) {
	clear(m.listeners)
	for _, s := range m.subjects {
		clear(s.open[:])
	}
	clear(m.other.open[:])
	for c := range open {
		m.listen(c)
	}
	var left event.Shedding
	if m.options.LeftOpen != nil {
		left = m.options.LeftOpen(now)
	}
	for c := range open {
		v := socketVariant[c.State]
		if v < 0 || c.State == tcp.Close {
			continue
		}
		weight := 1.0
		if left.Sockets > 0 && c.ID.Cookie != 0 && !c.Listener() {
			if !left.Tells(c.ID.Cookie) {
				continue // those that are known stand for it
			}
			weight = float64(left.Weight())
		}
		m.subject(m.keyOf(c), now).open[v] += weight
	}
	m.expire(now, m.options.Expire)
	m.publish()
	m.health.Store(&h)
	m.series.Set(float64(m.used + reserve(&m.families, m.options.Histograms)))
}

// publish sets the gauges of sockets: what has no room goes to other.
func (m *Metrics) publish() {
	for _, s := range m.subjects {
		for v, n := range s.open {
			if n == 0 && !s.children[m.families[sockets].first+v].made() {
				continue
			}
			if x := m.child(s, sockets, v); x != &m.other.children[m.families[sockets].first+v] {
				x.gauge.Set(n)
			} else {
				m.other.open[v] += n
			}
		}
	}
	for v, n := range m.other.open {
		if n != 0 || m.other.children[m.families[sockets].first+v].made() {
			m.child(m.other, sockets, v).gauge.Set(n)
		}
	}
}

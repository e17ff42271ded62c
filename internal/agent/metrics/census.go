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
	for c := range open {
		if v := socketVariant[c.State]; v >= 0 && c.State != tcp.Close {
			s := m.subject(m.keyOf(c), now)
			s.open[v]++
		}
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

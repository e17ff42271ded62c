package metrics

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// Labels of a subject. Names of labels that tell subjects apart are chosen in
// Options; what is not chosen is not looked at.
const (
	LabelRole      = "role"      // client or server
	LabelPort      = "port"      // the service's: a server's own, a client's destination
	LabelProcess   = "process"   // its name, as in /proc/PID/comm
	LabelContainer = "container" // the first 12 digits of its id
	LabelUnit      = "unit"      // the systemd service or scope
)

// Labels lists those that may be chosen.
func Labels() []string {
	return []string{LabelRole, LabelPort, LabelProcess, LabelContainer, LabelUnit}
}

const (
	unknown = "unknown" // nobody knows
	other   = "other"   // there was no room
	none    = "none"    // there is none: no container, say
)

// A key tells subjects apart. What was not chosen is zero.
type key struct {
	role            conn.Role
	port            uint16
	process         [16]byte
	container, unit string
}

// A subject is who series are about.
type subject struct {
	values   []string // of the labels chosen
	children []child  // by slot; zero where there is none yet
	seen     event.Time
	open     [numSockets]float64 // sockets by variant, of the census under way, each for all that it stands for

	// Of connect() that found no port: two signs of the same, and how many of
	// them are counted.
	unsent, refused, portless uint64
}

// A child is the series of one slot.
type child struct {
	counter prometheus.Counter
	gauge   prometheus.Gauge
	hist    *distribution
	told    []event.Time // when each bucket got its last exemplar
}

func (c *child) made() bool { return c.counter != nil || c.gauge != nil || c.hist != nil }

// keyOf says whom a connection is about.
func (m *Metrics) keyOf(c *conn.Connection) key {
	var k key
	if m.by.role {
		k.role = c.Role
	}
	if m.by.port {
		switch c.Role {
		case conn.Server:
			k.port = c.Local.Port()
		case conn.Client:
			k.port = c.Remote.Port()
		}
	}
	m.keyOwner(&k, m.ownerOf(c))
	return k
}

// ownerOf returns the process of a connection: of one that nobody has accepted,
// or read from, its listener's.
func (m *Metrics) ownerOf(c *conn.Connection) *event.Task {
	if c.Owner.Known() || c.Role != conn.Server {
		return &c.Owner.Task
	}
	if t := m.listeners[listenPort{c.ID.NetNS, c.Local.Port()}]; t != nil {
		return t
	}
	return &c.Owner.Task
}

func (m *Metrics) keyOwner(k *key, t *event.Task) {
	if !t.Known() {
		return
	}
	if m.by.process {
		k.process = t.Comm
	}
	k.container, k.unit = none, none
	if l := t.Label; l != nil {
		if l.Container != "" {
			k.container = l.Container
		}
		if l.Unit != "" {
			k.unit = l.Unit
		}
	}
	if !m.by.container {
		k.container = ""
	}
	if !m.by.unit {
		k.unit = ""
	}
}

// values spells a key, in the order of the labels chosen.
func (m *Metrics) values(k *key) []string {
	var all []string
	for _, l := range m.options.Labels {
		value := ""
		switch l {
		case LabelRole:
			value = k.role.String()
		case LabelPort:
			if k.port != 0 {
				value = strconv.Itoa(int(k.port))
			}
		case LabelProcess:
			name, _, _ := bytes.Cut(k.process[:], []byte{0})
			value = strings.ToValidUTF8(string(name), "\ufffd")
		case LabelContainer:
			value = strings.ToValidUTF8(k.container[:min(len(k.container), 12)], "\ufffd")
		case LabelUnit:
			value = strings.ToValidUTF8(k.unit, "\ufffd")
		}
		all = append(all, named(value))
	}
	return all
}

// squeezeEvery is the least time between two searches for subjects that can
// make room.
const squeezeEvery = 10 * time.Second

// subject returns whom a connection is about: other, where the budget has room
// for no more.
func (m *Metrics) subject(k key, at event.Time) *subject {
	met := &m.met[(uint(k.port)+uint(k.process[0])+uint(k.role))%uint(len(m.met))]
	if met.subject != nil && met.key == k {
		met.subject.seen = max(met.subject.seen, at)
		return met.subject
	}
	s := m.subjects[k]
	if s == nil {
		if m.used >= m.limit {
			m.squeeze(at)
		}
		if m.used >= m.limit {
			return m.other
		}
		s = &subject{values: m.values(&k), children: make([]child, m.slots), seen: at}
		m.subjects[k] = s
	}
	s.seen = max(s.seen, at)
	*met = metSubject{k, s}
	return s
}

// A metSubject is one that was asked for a moment ago.
type metSubject struct {
	key     key
	subject *subject
}

// squeeze lets go of subjects of which nothing was heard for a minute, where
// the budget is used up.
func (m *Metrics) squeeze(at event.Time) {
	if m.squeezed != 0 && at.Sub(m.squeezed) < squeezeEvery {
		return
	}
	m.squeezed = at
	m.expire(at, min(m.options.Expire, squeezedExpire))
}

// expire lets go of the subjects that have no sockets, and of which nothing was
// heard for so long.
func (m *Metrics) expire(at event.Time, after time.Duration) {
	for k, s := range m.subjects {
		if at.Sub(s.seen) >= after && s.open == [numSockets]float64{} {
			m.remove(s)
			delete(m.subjects, k)
		}
	}
	clear(m.met[:])
}

func (m *Metrics) remove(s *subject) {
	for i := range m.families {
		f := &m.families[i]
		for v, variant := range f.variants {
			if c := &s.children[f.first+v]; c.made() {
				m.vectors[i].remove(slices.Concat(variant, s.values))
				m.used -= f.weight(m.options.Histograms)
				m.expired.Add(float64(f.weight(m.options.Histograms)))
			}
		}
	}
}

// child returns a subject's series: those of other, where there is no room.
func (m *Metrics) child(s *subject, of, variant int) *child {
	f := &m.families[of]
	c := &s.children[f.first+variant]
	if c.made() {
		return c
	}
	if s != m.other {
		weight := f.weight(m.options.Histograms)
		if m.used+weight > m.limit {
			return m.child(m.other, of, variant)
		}
		m.used += weight
	}
	values := slices.Concat(f.variants[variant], s.values)
	switch v := &m.vectors[of]; f.kind {
	case counter:
		c.counter = v.counters.WithLabelValues(values...)
	case gauge:
		c.gauge = v.gauges.WithLabelValues(values...)
	case histogram:
		c.hist = v.histograms.with(values)
		c.told = make([]event.Time, len(f.buckets)+1)
	}
	return c
}

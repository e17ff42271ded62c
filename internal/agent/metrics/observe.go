package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Show takes in one change. It keeps neither the change nor its connection.
func (m *Metrics) Show(c *conn.Change) {
	switch c.Kind {
	case conn.Transition, conn.Corrected:
		m.transition(c)
	case conn.Owned:
		m.owned(c)
	case conn.Found:
		m.listen(c.Conn)
	case conn.Retransmitted:
		m.count(c, retransmits, int(c.Class), float64(c.Segments))
	case conn.Episode:
		m.episode(c)
	case conn.ResetSent:
		m.count(c, resets, resetVariant(false, c.Reset.Cause), 1)
	case conn.ResetReceived:
		m.count(c, resets, resetVariant(true, c.Reset.Cause), 1)
	case conn.Crowd:
		m.crowd(c)
	case conn.QueueFull:
		m.queueFull(c)
	case conn.Failed:
		m.failed(c)
	case conn.Ended:
		m.ended(c)
	case conn.Lost:
		m.lost.WithLabelValues(c.Event.Loss.Kind.String()).Add(float64(c.Event.Loss.Count))
	}
}

// subjectOf returns whom a change is about: nobody in particular where it has
// no connection.
func (m *Metrics) subjectOf(c *conn.Change) *subject {
	var k key
	if c.Conn != nil {
		k = m.keyOf(c.Conn)
	}
	return m.subject(k, c.Time)
}

// count adds n to one of the counters of whom c is about.
func (m *Metrics) count(c *conn.Change, of, variant int, n float64) {
	m.add(m.subjectOf(c), of, variant, n, c)
}

func (m *Metrics) add(s *subject, of, variant int, n float64, c *conn.Change) {
	if n <= 0 {
		return
	}
	x := m.room(s, of, variant)
	if x.told == nil {
		x.told = make([]event.Time, 1)
	}
	if labels := x.exemplar(0, c); labels != nil {
		x.counter.(prometheus.ExemplarAdder).AddWithExemplar(n, labels)
		return
	}
	x.counter.Add(n)
}

// observe adds a length of time to one of the histograms of s.
func (m *Metrics) observe(s *subject, of, variant int, length time.Duration, c *conn.Change) {
	x := m.room(s, of, variant)
	seconds := length.Seconds()
	if labels := x.exemplar(m.families[of].bucket(seconds), c); labels != nil {
		x.hist.(prometheus.ExemplarObserver).ObserveWithExemplar(seconds, labels)
		return
	}
	x.hist.Observe(seconds)
}

// room returns the series of s, or of other, in which case it counts that.
func (m *Metrics) room(s *subject, of, variant int) *child {
	x := m.child(s, of, variant)
	if x == &m.other.children[m.families[of].first+variant] {
		m.overflowed.Inc()
	}
	return x
}

// bucket returns the place of the bucket that a value falls into.
func (f *family) bucket(value float64) int {
	for i, upper := range f.buckets {
		if value <= upper {
			return i
		}
	}
	return len(f.buckets)
}

// exemplarEvery is the least time between two exemplars of one bucket: making
// one costs more than counting.
const exemplarEvery = time.Second

// exemplar returns labels that name the connection of c, as "ss -e" does behind
// sk:, or nil where the bucket has had one a moment ago.
func (x *child) exemplar(bucket int, c *conn.Change) prometheus.Labels {
	if c.Conn == nil || c.Conn.ID.Cookie == 0 {
		return nil
	}
	if last := x.told[bucket]; last != 0 && c.Time.Sub(last) < exemplarEvery {
		return nil
	}
	x.told[bucket] = c.Time
	return prometheus.Labels{
		"conn":  strconv.FormatUint(c.Conn.ID.Cookie, 16),
		"netns": strconv.FormatUint(uint64(c.Conn.ID.NetNS), 10),
	}
}

func (m *Metrics) transition(c *conn.Change) {
	m.listen(c.Conn)
	v := stayVariant[c.Old]
	if v < 0 || c.Old == tcp.Listen {
		return
	}
	s := m.subjectOf(c)
	if c.Kind == conn.Corrected || !c.InStateKnown {
		m.add(s, staysInexact, v, 1, c)
	} else {
		m.observe(s, stays, v, c.InState, c)
	}
	if c.New == tcp.Established && c.Conn.OpenedKnown {
		m.observe(s, handshakes, 0, max(c.Time.Sub(c.Conn.Opened), 0), c)
	}
	if c.Old == tcp.TimeWait {
		m.add(s, timeWaitEnds, int(c.Cause), 1, c)
	}
}

// listen remembers whose a port is that is listened on, until it is not.
func (m *Metrics) listen(c *conn.Connection) {
	if !c.Listener() {
		return
	}
	port := listenPort{c.ID.NetNS, c.Local.Port()}
	switch {
	case c.State != tcp.Listen:
		delete(m.listeners, port)
	case c.Owner.Known():
		if t := m.listeners[port]; t == nil || *t != c.Owner.Task {
			m.listeners[port] = new(c.Owner.Task)
		}
	}
}

// owned comes with accept(), at most once of a connection.
func (m *Metrics) owned(c *conn.Change) {
	m.listen(c.Conn)
	if c.Conn.Accepted != c.Time || c.Conn.Accepted == 0 {
		return
	}
	if wait, ok := c.Conn.AcceptWait(); ok {
		m.observe(m.subjectOf(c), acceptWaits, 0, wait, c)
	}
}

func (m *Metrics) episode(c *conn.Change) {
	outcome := 2
	switch c.Episode.Outcome {
	case conn.OutcomeRecovered:
		outcome = 0
	case conn.OutcomeFailed:
		outcome = 1
	case conn.OutcomeOpen:
		return // the trace is over, not the episode
	}
	s := m.subjectOf(c)
	m.add(s, episodes, outcome, 1, c)
	lost, _ := c.Episode.TimeLost(c.Time)
	m.observe(s, episodeLengths, 0, lost, c)
}

// crowd counts what no connection can be named for.
func (m *Metrics) crowd(c *conn.Change) {
	if c.Event.Kind == event.ResetMore {
		m.count(c, resets, resetVariant(false, c.Reset.Cause), float64(c.Event.Count))
		return
	}
	for class, n := range c.Event.Suppressed.ByClass {
		m.count(c, retransmits, class, float64(n))
	}
}

func (m *Metrics) queueFull(c *conn.Change) {
	queue := 0
	if c.Event.Queue.SYN {
		queue = 1
	}
	m.count(c, queueOverflows, queue, float64(max(c.Event.Count, 1)))
}

// failed counts a system call that made no connection. Of such a call Conn may
// be nil: its process is known all the same.
func (m *Metrics) failed(c *conn.Change) {
	n := uint64(max(c.Event.Count, 1))
	if c.Event.Op == event.OpAccept {
		s := m.subjectOf(c)
		if c.Conn == nil {
			s = m.caller(c, conn.Server, c.Event.Local.Port())
		}
		m.add(s, acceptFailures, errnoVariant(c.Event.Err), float64(n), c)
		return
	}
	s := m.caller(c, conn.Client, c.Event.Remote.Port())
	if c.Event.Err == event.EADDRNOTAVAIL {
		s.refused += n
		m.noPort(s, c)
		return
	}
	m.add(s, connectFailures, errnoVariant(c.Event.Err), float64(n), c)
}

func (m *Metrics) caller(c *conn.Change, role conn.Role, port uint16) *subject {
	var k key
	if m.by.role {
		k.role = role
	}
	if m.by.port {
		k.port = port
	}
	m.keyOwner(&k, &c.Event.Task)
	return m.subject(k, c.Time)
}

// noPort counts calls of connect() that found no port. One call can have two
// signs: that it failed, and that its socket ended before it sent anything.
func (m *Metrics) noPort(s *subject, c *conn.Change) {
	calls := max(s.unsent, s.refused)
	m.add(s, connectFailures, errnoVariant(event.EADDRNOTAVAIL), float64(calls-s.portless), c)
	s.portless = calls
}

func (m *Metrics) ended(c *conn.Change) {
	if c.Conn.Closed == 0 || c.Conn.Listener() {
		return // the trace is over, not the connection; or it was none
	}
	s := m.subjectOf(c)
	m.add(s, connections, int(c.Conn.End), 1, c)
	switch {
	case c.Conn.Role != conn.Client || established(c.Conn):
	case c.Conn.End == conn.EndUnsent:
		s.unsent++
		m.noPort(s, c)
	case c.Conn.Err != 0:
		m.add(s, connectFailures, errnoVariant(c.Conn.Err), 1, c)
	}
}

// established reports whether c ever was. What is not known to have begun may
// have been.
func established(c *conn.Connection) bool {
	if !c.OpenedKnown || c.SpansCut > 0 {
		return true
	}
	for i := range c.Spans {
		if c.Spans[i].State != tcp.SynSent && c.Spans[i].State != tcp.SynRecv {
			return c.Spans[i].State != tcp.Close
		}
	}
	return false
}

package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"

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
		m.count(c, retransmits, int(c.Class), uint64(c.Segments))
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

// weight returns how many connections that of c stands for, where some were left
// out as it came. Listeners never are, nor is what has no connection.
func (m *Metrics) weight(c *conn.Change) uint64 {
	if m.options.Left == nil || c.Conn == nil || c.Conn.ID.Cookie == 0 || c.Conn.Listener() {
		return 1
	}
	return m.options.Left(c.Time).Weight()
}

// count adds n, times what c stands for, to one of the counters of whom it is
// about.
func (m *Metrics) count(c *conn.Change, of, variant int, n uint64) {
	m.add(m.subjectOf(c), of, variant, n, c)
}

func (m *Metrics) add(s *subject, of, variant int, n uint64, c *conn.Change) {
	m.addExactly(s, of, variant, m.scaled(n, c), c)
}

// scaled returns n times what c stands for, and takes note of an estimate.
func (m *Metrics) scaled(n uint64, c *conn.Change) uint64 {
	w := m.weight(c)
	if w > 1 {
		m.estimated.Add(float64(n * (w - 1)))
	}
	return n * w
}

func (m *Metrics) addExactly(s *subject, of, variant int, n uint64, c *conn.Change) {
	if n == 0 {
		return
	}
	x := m.room(s, of, variant)
	if x.told == nil {
		x.told = make([]event.Time, 1)
	}
	if x.tells(0, c) {
		x.counter.(prometheus.ExemplarAdder).AddWithExemplar(float64(n), exemplarLabels(c))
		return
	}
	x.counter.Add(float64(n))
}

// observe adds a length of time to one of the histograms of s.
func (m *Metrics) observe(s *subject, of, variant int, length time.Duration, c *conn.Change) {
	x := m.room(s, of, variant)
	seconds := length.Seconds()
	bucket := m.families[of].bucket(seconds)
	var shown *dto.Exemplar
	if x.tells(bucket, c) {
		shown = &dto.Exemplar{Value: new(seconds), Timestamp: timestamppb.New(time.Now())}
		for name, value := range exemplarLabels(c) {
			shown.Label = append(shown.Label, &dto.LabelPair{Name: new(name), Value: new(value)})
		}
	}
	x.hist.observe(seconds, m.scaled(1, c), bucket, shown)
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
		m.count(c, resets, resetVariant(false, c.Reset.Cause), uint64(c.Event.Count))
		return
	}
	for class, n := range c.Event.Suppressed.ByClass {
		m.count(c, retransmits, class, uint64(n))
	}
}

func (m *Metrics) queueFull(c *conn.Change) {
	queue := 0
	if c.Event.Queue.SYN {
		queue = 1
	}
	m.count(c, queueOverflows, queue, uint64(max(c.Event.Count, 1)))
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
		m.addExactly(s, acceptFailures, errnoVariant(c.Event.Err), n, c)
		return
	}
	s := m.caller(c, conn.Client, c.Event.Remote.Port())
	if c.Event.Err == event.EADDRNOTAVAIL {
		s.refused += n
		m.noPort(s, c)
		return
	}
	m.addExactly(s, connectFailures, errnoVariant(c.Event.Err), n, c)
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
	m.addExactly(s, connectFailures, errnoVariant(event.EADDRNOTAVAIL), calls-s.portless, c)
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
		if m.weight(c) > 1 && s.refused > 0 { // the other sign is exact, and this is none
			return
		}
		s.unsent += m.scaled(1, c)
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

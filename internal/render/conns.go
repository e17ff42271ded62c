package render

import (
	"strconv"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	lifeWidth = 8
	endWidth  = 14

	cmdlineWidth = 80

	// longWait is how long accept() has to take before it is remarkable.
	longWait = 10 * time.Millisecond
)

// AppendConnsHeader appends the line that names the columns of AppendConn.
func AppendConnsHeader(b []byte) []byte {
	l := line{b: b}
	l.cell()
	for _, c := range []struct {
		name  string
		width int
	}{
		{"CLOSED", timeWidth}, {"PROCESS", processWidth}, {"ROLE", roleWidth},
		{"LOCAL", endpointWidth}, {"REMOTE", endpointWidth}, {"    LIFE", lifeWidth}, {"END", endWidth},
	} {
		l.text(c.name)
		l.pad(c.width)
	}
	l.text("STATES\n")
	return l.b
}

// AppendConn appends the line of one connection, ended or still open, or of
// events lost, and returns the extended buffer.
func (o *Options) AppendConn(b []byte, c *conn.Change) []byte {
	if c.Kind == conn.Lost {
		return o.AppendWatch(b, c)
	}
	l := line{b: b, color: o.Color}
	l.cell()
	if c.Conn.Closed == 0 {
		l.text("-")
	} else {
		l.time(o, c.Conn.Closed)
	}
	l.pad(timeWidth)
	l.subject(c)
	life, known := lifetime(c)
	l.right(life, known, lifeWidth)
	l.pad(lifeWidth)
	l.end(c.Conn)
	l.pad(endWidth)
	l.spans(c)
	l.remarks(c.Conn)
	return append(l.b, '\n')
}

func (l *line) end(c *conn.Connection) {
	switch {
	case c.Closed == 0:
		l.text("open")
	case c.End == conn.EndFIN || c.End == conn.EndUnknown:
		l.text(orDash(c.End.String()))
	default:
		l.paint(alarm, c.End.String())
	}
}

// spans writes the states in order, each with the time spent in it.
func (l *line) spans(c *conn.Change) {
	until := c.Conn.Closed
	if until == 0 {
		until = c.Time
	}
	if c.Conn.SpansCut > 0 {
		l.text("... ")
	}
	sep := ""
	for i := range c.Conn.Spans {
		stay := &c.Conn.Spans[i]
		if stay.State == tcp.Close {
			continue
		}
		end := stay.End
		if end == 0 {
			end = until
		}
		l.text(sep)
		l.state(stay.State)
		l.text(" ")
		l.b = appendBound(l.b, end.Sub(stay.Begin), stay.Bound())
		sep = " "
	}
}

// remarks writes what is out of the ordinary: retransmits and the time that they
// cost, a late accept(), an
// error, a gap.
func (l *line) remarks(c *conn.Connection) {
	total := uint64(0)
	for _, n := range c.Retransmits {
		total += uint64(n)
	}
	if total > 0 {
		l.text(" retransmits=")
		l.b = strconv.AppendUint(l.b, total, 10)
	}
	if c.EpisodeTime > 0 {
		l.text(" loss")
		if !c.EpisodeTimeAtLeast {
			l.text("=")
		}
		l.b = appendAtLeast(l.b, c.EpisodeTime, !c.EpisodeTimeAtLeast)
	}
	if wait, ok := c.AcceptWait(); ok && wait >= longWait {
		l.text(" accept_wait=")
		l.b = appendAtLeast(l.b, wait, true)
	}
	if name := c.Err.String(); name != "" {
		l.text(" ")
		l.text(name)
	}
	if !c.Complete {
		l.text(" incomplete")
	}
	if c.Closer.Known() && c.Closer.Task.PID != c.Owner.Task.PID {
		l.text(" closed by ")
		l.process(&c.Closer.Task, processWidth)
	}
	if label := c.Owner.Task.Label; label != nil {
		if label.Container != "" {
			l.text(" container=")
			l.label(label)
		}
		if label.Cmdline != "" {
			l.text(" cmdline=")
			l.safe(label.Cmdline, cmdlineWidth)
		}
	}
}

// mostOpen is how many open connections AppendOpen lists one by one.
const mostOpen = 10

// An Open gathers the connections that are still open at the end of a run.
type Open struct {
	count [tcp.NumStates]int
	first []conn.Change
}

// Add adds one. It keeps the first few, whose Connection must not change any more.
func (s *Open) Add(c *conn.Change) {
	s.count[c.Conn.State]++
	if len(s.first) < mostOpen {
		s.first = append(s.first, *c)
	}
}

// AppendOpen appends how many connections s holds in which state, and the
// first few of them. It appends nothing if there are none.
func (o *Options) AppendOpen(b []byte, s *Open) []byte {
	total := 0
	for _, n := range s.count {
		total += n
	}
	if total == 0 {
		return b
	}
	l := line{b: b, color: o.Color}
	l.b = strconv.AppendInt(l.b, int64(total), 10)
	l.text(" still open:")
	sep := " "
	for _, state := range append(tcp.States(), tcp.Unknown) {
		if n := s.count[state]; n > 0 {
			l.text(sep)
			l.b = strconv.AppendInt(l.b, int64(n), 10)
			l.text(" ")
			l.state(state)
			sep = ", "
		}
	}
	l.text("\n")
	for i := range s.first {
		l.b = o.AppendWatch(l.b, &s.first[i])
	}
	if more := total - len(s.first); more > 0 {
		l.text("and ")
		l.b = strconv.AppendInt(l.b, int64(more), 10)
		l.text(" more\n")
	}
	return l.b
}

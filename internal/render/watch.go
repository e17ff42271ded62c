// Package render writes what tcptrace knows as lines of text for people. Names
// that anybody may choose cannot disturb the terminal, and what is not known
// is "-".
package render

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// Options say how text looks.
type Options struct {
	Color bool
	Zone  *time.Location // of the times shown; nil means the local one
	Clock event.Clock    // of the source of what is shown
}

// Widths of the columns of a line of watch, 120 in all. An IPv6 address may
// take more, and then moves the rest of its line.
const (
	timeWidth     = 12
	processWidth  = 18
	roleWidth     = 6
	endpointWidth = 21
	eventWidth    = 28
	inOldWidth    = 8
)

// AppendWatchHeader appends the line that names the columns of AppendWatch.
func AppendWatchHeader(b []byte) []byte {
	l := line{b: b}
	l.cell()
	for _, c := range []struct {
		name  string
		width int
	}{
		{"TIME", timeWidth}, {"PROCESS", processWidth}, {"ROLE", roleWidth},
		{"LOCAL", endpointWidth}, {"REMOTE", endpointWidth}, {"EVENT", eventWidth},
	} {
		l.text(c.name)
		l.pad(c.width)
	}
	l.text("  IN OLD\n")
	return l.b
}

// AppendWatch appends the line of one change and returns the extended buffer.
func (o *Options) AppendWatch(b []byte, c *conn.Change) []byte {
	l := line{b: b, color: o.Color}
	l.cell()
	l.time(o, c.Time)
	l.pad(timeWidth)
	if c.Kind == conn.Lost {
		l.lost(c.Event)
		return append(l.b, '\n')
	}
	l.subject(c)
	switch c.Kind {
	case conn.Transition:
		l.transition(c)
	case conn.Corrected:
		l.corrected(c)
	case conn.Retransmitted:
		l.retransmit(c)
	case conn.Crowd:
		l.crowd(c)
	case conn.Episode:
		l.episode(c)
	case conn.ResetSent, conn.ResetReceived:
		l.reset(c)
	case conn.Ended:
		l.ended(c)
	case conn.Dropped:
		l.drop(c.Event)
	case conn.QueueFull:
		l.queueFull(c.Event)
	case conn.Failed:
		l.failed(c)
	case conn.Errored:
		l.errored(c)
	default:
		return b // it says nothing that happened to a connection
	}
	return append(l.b, '\n')
}

func (l *line) time(o *Options, t event.Time) {
	zone := o.Zone
	if zone == nil {
		zone = time.Local
	}
	at := o.Clock.Wall(t).In(zone)
	hour, minute, second := at.Clock()
	ms := at.Nanosecond() / int(time.Millisecond)
	l.b = append(l.b,
		'0'+byte(hour/10), '0'+byte(hour%10), ':', '0'+byte(minute/10), '0'+byte(minute%10), ':',
		'0'+byte(second/10), '0'+byte(second%10), '.', '0'+byte(ms/100), '0'+byte(ms/10%10), '0'+byte(ms%10))
}

// subject writes whose connection it is, and which.
func (l *line) subject(c *conn.Change) {
	var owner event.Task
	switch {
	case c.Conn != nil:
		l.ends(&c.Conn.Owner.Task, c.Conn.Role, c.Conn.Local, c.Conn.Remote)
		return
	case c.Kind == conn.Failed:
		owner = c.Task
	}
	local, remote := netip.AddrPort{}, netip.AddrPort{}
	if c.Event != nil {
		local, remote = c.Event.Local, c.Event.Remote
	}
	l.ends(&owner, conn.RoleUnknown, local, remote)
}

func (l *line) ends(owner *event.Task, role conn.Role, local, remote netip.AddrPort) {
	l.process(owner, processWidth)
	l.pad(processWidth)
	l.text(orDash(role.String()))
	l.pad(roleWidth)
	l.endpoint(local)
	l.pad(endpointWidth)
	l.endpoint(remote)
	l.pad(endpointWidth)
}

func (l *line) transition(c *conn.Change) {
	l.state(c.Old)
	l.text(" -> ")
	l.state(c.New)
	if cause := c.Cause.String(); cause != "" {
		l.text(" (")
		l.text(cause)
		l.text(")")
	}
	if c.Illegal {
		l.text(" ")
		l.paint(alarm, "(illegal)")
	}
	l.pad(eventWidth)
	l.right(c.InState, c.InStateKnown, inOldWidth)
	l.actor(c, &c.Task)
}

// corrected writes what a sweep found in place of what we believed. How long
// the old state lasted nobody saw.
func (l *line) corrected(c *conn.Change) {
	l.state(c.Old)
	l.text(" -> ")
	l.state(c.New)
	l.text(" ")
	l.paint(alarm, "(corrected)")
}

// right writes a time to the right of its column.
func (l *line) right(d time.Duration, known bool, width int) {
	bound := conn.Exact
	if !known {
		bound = conn.AtLeast
	}
	l.rightBound(d, bound, width)
}

func (l *line) rightBound(d time.Duration, bound conn.Bound, width int) {
	var buf [24]byte
	text := appendBound(buf[:0], d, bound)
	l.blank(width - len(text))
	l.b = append(l.b, text...)
}

// actor names the process that did it, where it is not the connection's own.
func (l *line) actor(c *conn.Change, t *event.Task) {
	if !t.Known() || c.Conn != nil && t.PID == c.Conn.Owner.Task.PID {
		return
	}
	l.text(" by ")
	l.process(t, processWidth)
}

func (l *line) retransmit(c *conn.Change) {
	if c.Event.Kind == event.RetransmitMore {
		l.b = strconv.AppendUint(l.b, uint64(c.Segments), 10)
		l.text(" more, ")
	}
	l.text("retransmit ")
	if c.Class != conn.ClassUnknown {
		l.text(c.Class.String())
		l.text(" ")
	}
	l.text("in ")
	l.state(c.Event.Old)
	if n := c.Event.Retransmission.Bytes; n > 0 {
		l.text(", ")
		l.b = strconv.AppendUint(l.b, uint64(n), 10)
		l.text("B")
	}
}

func (l *line) reset(c *conn.Change) {
	what := "RST sent"
	if c.Kind == conn.ResetReceived {
		what = "RST received"
	}
	l.paint(alarm, what)
	switch cause := c.Reset.Cause.String(); {
	case cause != "":
		l.text(": ")
		l.text(cause)
		if c.Reset.Inferred {
			l.text("?")
		}
	case c.Event.Old.Valid():
		l.text(" in ")
		l.state(c.Event.Old)
	}
	if c.Kind == conn.ResetSent {
		l.actor(c, &c.Task)
		return
	}
	by := &c.Reset.PeerActor
	if !by.Known() {
		by = &c.Reset.PeerOwner.Task
	}
	if by.Known() {
		l.text(" by ")
		l.process(by, processWidth)
	}
}

// ended writes how a connection ended, and its life in the place of the time
// in the old state.
func (l *line) ended(c *conn.Change) {
	if c.Conn.Closed == 0 {
		l.text("open, in ")
		l.state(c.Conn.State)
	} else {
		l.text("ended: ")
		l.text(orDash(c.Conn.End.String()))
		if name := c.Conn.Err.String(); name != "" {
			l.text(" ")
			l.text(name)
		}
	}
	l.pad(eventWidth)
	life, known := lifetime(c)
	l.right(life, known, inOldWidth)
}

// lifetime returns how long a connection has lived, or lived at least.
func lifetime(c *conn.Change) (life time.Duration, known bool) {
	until := c.Conn.Closed
	if until == 0 {
		until = c.Time
	}
	if c.Conn.Opened == 0 {
		return 0, false
	}
	return until.Sub(c.Conn.Opened), c.Conn.OpenedKnown
}

func (l *line) lost(ev *event.Event) {
	l.paint(alarm, "LOST")
	l.text(" ")
	l.b = strconv.AppendUint(l.b, ev.Loss.Count, 10)
	if ev.Loss.Kind != 0 {
		l.text(" ")
		l.text(ev.Loss.Kind.String())
	}
	l.text(" events: the kernel side had no room for them (a larger --ring-size helps), or the kernel skipped our program")
	if ev.Loss.Kind == event.QueueFull {
		l.text(", or more listen than are watched")
	}
}

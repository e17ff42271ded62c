package conn

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// The tests tell stories: events as the kernel side reports them, and the
// changes that they mean, a line each. Times are since an arbitrary zero.
//
//	1ms client/c1:4000 SYN_SENT>ESTABLISHED 1ms
//
// is a Transition of the connection with cookie 0xc1 and local port 4000 after
// 1 ms in SYN_SENT. ">=1ms" stands for a time known to be longer, "?" for one
// that is not known. An Ended lists the spans; "~" before the time marks those
// whose begin is not known, and after it those whose end is not.

// A socket is one end of a connection, in the story.
type socket struct {
	id            event.ID
	local, remote netip.AddrPort
}

var (
	clientAddr = netip.MustParseAddrPort("10.0.0.1:4000")
	serverAddr = netip.MustParseAddrPort("10.0.0.2:80")

	aClient = socket{event.ID{NetNS: 1, Cookie: 0xc1}, clientAddr, serverAddr}
	aServer = socket{event.ID{NetNS: 1, Cookie: 0x51}, serverAddr, clientAddr}
)

func (s socket) event(kind event.Kind, at time.Duration) *event.Event {
	return &event.Event{Kind: kind, Time: event.Time(at), ID: s.id, Local: s.local, Remote: s.remote}
}

func (s socket) state(at time.Duration, from, to tcp.State) *event.Event {
	ev := s.event(event.State, at)
	ev.Old, ev.New = from, to
	if to == tcp.Close || from == tcp.Close && to == tcp.SynSent {
		ev.Local = netip.AddrPortFrom(s.local.Addr(), 0) // as the kernel has it then
	}
	return ev
}

// portKnown is for a client that bound its port before it connected, and for a
// kernel side that finds the port of a closing socket.
func portKnown(s socket, ev *event.Event) *event.Event {
	ev.Local = s.local
	return ev
}

func (s socket) bound(at time.Duration) *event.Event   { return s.event(event.Bound, at) }
func (s socket) request(at time.Duration) *event.Event { return s.event(event.RequestBegin, at) }

// requestNoCookie is a request socket for which nobody has made a cookie.
func (s socket) requestNoCookie(at time.Duration) *event.Event {
	ev := s.request(at)
	ev.ID.Cookie = 0
	return ev
}

func (s socket) requestEnd(at time.Duration, cause event.Cause) *event.Event {
	ev := s.event(event.RequestEnd, at)
	ev.Cause = cause
	return ev
}

func (s socket) timeWaitBegin(at time.Duration, substate tcp.State) *event.Event {
	ev := s.event(event.TimeWaitBegin, at)
	ev.New = substate
	return ev
}

func (s socket) timeWaitFin(at time.Duration) *event.Event { return s.event(event.TimeWaitFin, at) }

func (s socket) timeWaitEnd(at time.Duration, substate tcp.State, cause event.Cause) *event.Event {
	ev := s.event(event.TimeWaitEnd, at)
	ev.Old, ev.Cause = substate, cause
	return ev
}

func (s socket) resetSent(at time.Duration, in tcp.State) *event.Event {
	ev := s.event(event.ResetSent, at)
	ev.Old = in
	return ev
}

func (s socket) resetReceived(at time.Duration, in tcp.State) *event.Event {
	ev := s.event(event.ResetReceived, at)
	ev.Old = in
	return ev
}

func (s socket) totals(at time.Duration, sent uint64) *event.Event {
	ev := s.event(event.Totals, at)
	ev.Counters.BytesSent = sent
	return ev
}

func (s socket) retransmit(at time.Duration, in tcp.State, x event.Retransmission) *event.Event {
	ev := s.event(event.Retransmit, at)
	ev.Old, ev.Retransmission = in, x
	return ev
}

// seen is a sweep's finding of the socket.
func (s socket) seen(at time.Duration, in tcp.State) *event.Event {
	ev := s.event(event.Seen, at)
	ev.Old = in
	return ev
}

// withLeft is for a timewait socket with some time left to live.
func withLeft(left time.Duration, ev *event.Event) *event.Event {
	ev.Left = left
	return ev
}

// swept is the end of a sweep of the first namespace.
func swept(from, to time.Duration) *event.Event {
	return &event.Event{Kind: event.Swept, ID: event.ID{NetNS: 1}, From: event.Time(from), Time: event.Time(to)}
}

// process is a process that accepted the socket, or read from it.
func (s socket) process(kind event.Kind, at time.Duration, in tcp.State, comm string) *event.Event {
	ev := s.event(kind, at)
	ev.Old = in
	return by(comm, ev)
}

func lost(count uint64, from, to time.Duration) *event.Event {
	return &event.Event{Kind: event.Lost, Time: event.Time(to), Loss: event.Loss{Kind: event.State, Count: count, From: event.Time(from)}}
}

func by(comm string, ev *event.Event) *event.Event {
	ev.Task.PID = 100
	copy(ev.Task.Comm[:], comm)
	return ev
}

func failing(errno event.Errno, ev *event.Event) *event.Event {
	ev.Err = errno
	return ev
}

// connected is a client's handshake that begins at at and takes 1 ms.
func (s socket) connected(at time.Duration) []*event.Event {
	return []*event.Event{
		s.state(at, tcp.Close, tcp.SynSent),
		s.bound(at + time.Microsecond),
		s.state(at+time.Millisecond, tcp.SynSent, tcp.Established),
	}
}

// accepted is a server's handshake that begins at at and takes 1 ms.
func (s socket) accepted(at time.Duration) []*event.Event {
	return []*event.Event{
		s.request(at),
		s.state(at+time.Millisecond, tcp.SynRecv, tcp.Established),
	}
}

// events joins events and slices of events.
func events(parts ...any) []*event.Event {
	var all []*event.Event
	for _, p := range parts {
		switch p := p.(type) {
		case *event.Event:
			all = append(all, p)
		case []*event.Event:
			all = append(all, p...)
		default:
			panic(fmt.Sprintf("%T is no event", p))
		}
	}
	return all
}

// tell runs the events through t and returns the changes, a line each.
func tell(t *Tracker, evs []*event.Event) []string {
	var lines []string
	for _, ev := range evs {
		t.Handle(ev, func(c *Change) { lines = append(lines, line(c)) })
	}
	return lines
}

func finish(t *Tracker, at time.Duration) []string {
	var lines []string
	t.Finish(event.Time(at), func(c *Change) { lines = append(lines, line(c)) })
	return lines
}

// expect compares lines with want, which is a line each; blank space around
// them does not matter.
func expect(t *testing.T, got []string, want string) {
	t.Helper()
	var lines []string
	for l := range strings.Lines(want) {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	if diff := cmp.Diff(lines, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// story runs events through a new tracker, to the end of the trace at 1000 s.
func story(t *testing.T, want string, parts ...any) *Tracker {
	t.Helper()
	tracker := New(Options{})
	lines := tell(tracker, events(parts...))
	lines = append(lines, finish(tracker, 1000*time.Second)...)
	expect(t, lines, want)
	if n := tracker.Stats().Live; n != 0 {
		t.Errorf("%d connections live after Finish", n)
	}
	return tracker
}

func name(c *Connection) string {
	if c == nil {
		return "-"
	}
	role := c.Role.String()
	if role == "" {
		role = "unknown"
	}
	return fmt.Sprintf("%s/%x:%d", role, c.ID.Cookie, c.Local.Port())
}

// line prints a change.
func line(c *Change) string {
	w := []string{time.Duration(c.Time).String(), name(c.Conn)}
	add := func(when bool, word string) {
		if when {
			w = append(w, word)
		}
	}
	switch c.Kind {
	case Transition:
		w = append(w, c.Old.String()+">"+c.New.String(), inState(c))
		add(c.Cause != event.CauseUnknown, c.Cause.String())
		add(c.Illegal, "illegal")
	case Retransmitted:
		w = append(w, "retransmitted", c.Class.String())
	case ResetSent:
		w = append(w, "reset sent in", c.Event.Old.String())
	case ResetReceived:
		w = append(w, "reset received in", c.Event.Old.String())
	case Found:
		w = append(w, "found in", c.New.String())
	case Corrected:
		w = append(w, "corrected", c.Old.String()+">"+c.New.String())
	case Owned:
		w = append(w, "owned", c.Conn.Owner.Via.String())
	case Orphaned:
		w = append(w, "orphaned")
	case Dropped, QueueFull, Failed:
		w = append(w, c.Event.Kind.String())
	case Lost:
		w = append(w, "lost", fmt.Sprint(c.Event.Loss.Count))
	case Episode:
		w = append(w, episodeWords(c)...)
	case Crowd:
		w = append(w, fmt.Sprintf("%d segments more of %v", c.Segments, c.Event.Kind))
	case Ended:
		w = append(w, endWords(c.Conn)...)
	}
	add(c.Task.Known(), "by "+comm(&c.Task))
	return strings.Join(w, " ")
}

func inState(c *Change) string {
	switch {
	case c.InStateKnown:
		return c.InState.String()
	case c.InState != 0:
		return ">=" + c.InState.String()
	}
	return "?"
}

func comm(t *event.Task) string { return strings.TrimRight(string(t.Comm[:]), "\x00") }

func endWords(c *Connection) []string {
	w := []string{"ended"}
	add := func(when bool, word string) {
		if when {
			w = append(w, word)
		}
	}
	add(c.End != EndUnknown, c.End.String())
	add(c.Err != 0, fmt.Sprintf("errno=%d", int(c.Err)))
	add(c.Closed == 0, "open")
	add(!c.Complete, "incomplete")
	add(!c.OpenedKnown, "begin-unknown")
	add(c.HasCounters, fmt.Sprintf("sent=%d", c.Counters.BytesSent))
	add(c.Owner.Known(), fmt.Sprintf("owner=%s/%v", comm(&c.Owner.Task), c.Owner.Via))
	add(c.Closer.Known(), fmt.Sprintf("closer=%s/%v", comm(&c.Closer.Task), c.Closer.Via))
	for _, s := range c.Spans {
		long := "..."
		if s.End != 0 {
			long = s.End.Sub(s.Begin).String()
		}
		if !s.BeginKnown {
			long = "~" + long
		}
		if s.EndUnknown {
			long += "~"
		}
		w = append(w, s.State.String()+"="+long)
	}
	return w
}

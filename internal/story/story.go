// Package story makes the events of whole TCP lives, as the kernel reports
// them, for the tests of what lies behind the tracker.
package story

import (
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Clock is that of every story: the host was started at midnight.
var Clock = event.Clock{Boot: time.Date(2026, 5, 17, 0, 0, 0, 0, time.UTC)}

// A Socket is one end of a connection. Its methods return events at a time
// since boot.
type Socket struct {
	ID            event.ID
	Local, Remote netip.AddrPort
}

// NewSocket returns an end in network namespace 4026531840. An empty remote
// makes a listener.
func NewSocket(cookie uint64, local, remote string) Socket {
	s := Socket{ID: event.ID{NetNS: 4026531840, Cookie: cookie}, Local: netip.MustParseAddrPort(local)}
	if remote != "" {
		s.Remote = netip.MustParseAddrPort(remote)
	}
	return s
}

func (s Socket) event(at time.Duration, kind event.Kind) event.Event {
	return event.Event{Kind: kind, Time: event.Time(at), ID: s.ID, Local: s.Local, Remote: s.Remote}
}

// State is a full socket's transition.
func (s Socket) State(at time.Duration, from, to tcp.State) event.Event {
	ev := s.event(at, event.State)
	ev.Old, ev.New = from, to
	return ev
}

// Numbers are the initial sequence numbers of a handshake's end, known where they
// are not 0.
func Numbers(sent, received uint32, ev event.Event) event.Event {
	ev.ISNs = event.ISNs{Sent: event.ISN{Seq: sent, Known: sent != 0}, Received: event.ISN{Seq: received, Known: received != 0}}
	return ev
}

// Connect is a client's handshake, which took rtt.
func (s Socket) Connect(at, rtt time.Duration, by event.Task) []event.Event {
	syn := By(by, s.State(at, tcp.Close, tcp.SynSent))
	syn.Local = netip.AddrPortFrom(s.Local.Addr(), 0)
	return []event.Event{
		syn,
		s.event(at+time.Microsecond, event.Bound),
		s.State(at+rtt, tcp.SynSent, tcp.Established),
	}
}

// Accept is a server's handshake, which took rtt.
func (s Socket) Accept(at, rtt time.Duration) []event.Event {
	request := s.event(at, event.RequestBegin)
	child := s.State(at+rtt, tcp.Listen, tcp.SynRecv)
	child.ID.Cookie = 0
	return []event.Event{request, child, s.State(at+rtt, tcp.SynRecv, tcp.Established)}
}

// TimeWait is the end of a full socket in state from, and the begin of TIME_WAIT.
func (s Socket) TimeWait(at time.Duration, from tcp.State) []event.Event {
	begin := s.event(at, event.TimeWaitBegin)
	begin.New = tcp.TimeWait
	return []event.Event{begin, s.State(at, from, tcp.Close)}
}

// TimeWaitEnd is the end of TIME_WAIT.
func (s Socket) TimeWaitEnd(at time.Duration, cause event.Cause) event.Event {
	ev := s.event(at, event.TimeWaitEnd)
	ev.Old, ev.Cause = tcp.TimeWait, cause
	return ev
}

// Totals are the counters that come before a full socket's CLOSE.
func (s Socket) Totals(at time.Duration, c event.Counters) event.Event {
	ev := s.event(at, event.Totals)
	ev.Counters = c
	return ev
}

// Used is a process's first reading from the socket, in state.
func (s Socket) Used(at time.Duration, state tcp.State, by event.Task) event.Event {
	ev := By(by, s.event(at, event.Used))
	ev.Old = state
	return ev
}

// Accepted is the return of a process's accept(), the socket being in state.
func (s Socket) Accepted(at time.Duration, state tcp.State, by event.Task) event.Event {
	ev := By(by, s.event(at, event.Accepted))
	ev.Old = state
	return ev
}

// Seen is a sweep's finding of the socket in state.
func (s Socket) Seen(at time.Duration, state tcp.State) event.Event {
	ev := s.event(at, event.Seen)
	ev.Old = state
	return ev
}

// Idling is a sweep's finding of the established socket, which has not heard of
// its peer for so long and has no keepalive.
func (s Socket) Idling(at, idle time.Duration) event.Event {
	ev := s.Seen(at, tcp.Established)
	ev.Idle = idle
	return ev
}

// Swept is the end of a sweep that began at from.
func (s Socket) Swept(from, at time.Duration) event.Event {
	return event.Event{Kind: event.Swept, Time: event.Time(at), From: event.Time(from), ID: event.ID{NetNS: s.ID.NetNS}}
}

// Retransmit is a segment sent again in state.
func (s Socket) Retransmit(at time.Duration, state tcp.State, r event.Retransmission) event.Event {
	ev := s.event(at, event.Retransmit)
	ev.Old, ev.Retransmission = state, r
	return ev
}

// ResetSent is a RST of ours, in state, with the kernel's name of the reason.
func (s Socket) ResetSent(at time.Duration, state tcp.State, reason string) event.Event {
	ev := s.event(at, event.ResetSent)
	ev.Old, ev.Reason = state, reason
	return ev
}

const flagSYN = 2

// Answering says that a RST answers a segment with these flags.
func Answering(flags uint8, ev event.Event) event.Event {
	ev.Reset.Answer, ev.Reset.AnsweredFlags = true, flags
	return ev
}

// ResetReceived is a RST of the peer's, in state.
func (s Socket) ResetReceived(at time.Duration, state tcp.State) event.Event {
	ev := s.event(at, event.ResetReceived)
	ev.Old = state
	return ev
}

// Lost is a loss of n events of a kind since from.
func Lost(from, at time.Duration, kind event.Kind, n uint64) event.Event {
	return event.Event{
		Kind: event.Lost, Time: event.Time(at),
		Loss: event.Loss{Kind: kind, Count: n, From: event.Time(from)},
	}
}

// Task is a process of root's.
func Task(pid uint32, comm string) event.Task {
	t := event.Task{PID: pid}
	copy(t.Comm[:], comm)
	return t
}

// By is ev, caused by a process.
func By(t event.Task, ev event.Event) event.Event {
	ev.Task = t
	return ev
}

// Failed is ev, with an error on the socket.
func Failed(errno event.Errno, ev event.Event) event.Event {
	ev.Err = errno
	return ev
}

// Join makes one story of events and lists of events.
func Join(parts ...any) []event.Event {
	var all []event.Event
	for _, p := range parts {
		switch p := p.(type) {
		case event.Event:
			all = append(all, p)
		case []event.Event:
			all = append(all, p...)
		default:
			panic("story: neither an event nor a list of events")
		}
	}
	return all
}

// Tell runs events through a tracker until the time end, and calls handle
// with each change.
func Tell(events []event.Event, end time.Duration, handle conn.Handler) {
	t := conn.New(conn.Options{})
	for i := range events {
		t.Handle(&events[i], handle)
	}
	t.Finish(event.Time(end), handle)
}

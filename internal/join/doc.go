// Package join finds out which connections of two recorded hosts are the two ends
// of one, and by how much the hosts' clocks differ.
//
// The initial sequence numbers tell at once: NAT keeps them. Where they are not
// known, or something between the hosts puts others in their place, the four
// addresses and ports do, if nothing translates them. Else what is known of both
// ends is when the handshake was, how many bytes went each way, and as a rule the
// server's port. The SYN arrives after it was sent, and before the client is
// established: each pair of ends so bounds the difference of the clocks, and the
// difference that most pairs allow is the true one (K. Marzullo's algorithm, as in
// NTP, RFC 5905 section 11.2.1).
package join

import (
	"net/netip"
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// An End is what is known of one end of a connection when it is over, or the
// recording is. Times are of the host's wall clock, in nanoseconds.
type End struct {
	ID     event.ID
	Local  netip.AddrPort
	Remote netip.AddrPort
	Role   conn.Role

	BeginKnown  bool  // the first SYN was seen
	Begin       int64 // of it, or when it was first known of
	Established int64 // 0: it never was, or nobody saw it
	Over        int64 // when it ended; 0: it had not

	ISNs event.ISNs

	HasCounters           bool
	Sent, Acked, Received uint64 // payload; Sent has what was sent again

	Result        conn.End
	ResetCause    conn.ResetCause
	ResetInferred bool
	Owner         conn.Owner
	Closer        conn.Owner
	Actor         event.Task      // who caused the RST that it sent
	Conn          conn.Connection // all of it
}

// A Collector gathers the ends of one host.
type Collector struct {
	clock  event.Clock
	Ends   []End
	actors map[event.ID]event.Task
}

// NewCollector returns a Collector of a host with this clock.
func NewCollector(clock event.Clock) *Collector {
	return &Collector{clock: clock, actors: map[event.ID]event.Task{}}
}

// Show takes in one change, and reports whether it is an end.
func (l *Collector) Show(c *conn.Change) bool {
	if c.Kind == conn.ResetSent && c.Conn != nil && c.Task.Known() {
		l.actors[c.Conn.ID] = c.Task
	}
	if c.Kind != conn.Ended || c.Conn.Listener() || c.Conn.Local.Port() == 0 || c.Conn.Remote.Port() == 0 {
		return false
	}
	n := c.Conn
	e := End{
		ID: n.ID, Local: plain(n.Local), Remote: plain(n.Remote), Role: n.Role,
		BeginKnown: n.OpenedKnown, Begin: l.wall(n.Opened),
		ISNs:        n.ISNs,
		HasCounters: n.HasCounters, Sent: n.Counters.BytesSent, Received: n.Counters.BytesReceived,
		Result: n.End, ResetCause: n.ResetCause, ResetInferred: n.ResetInferred,
		Owner: n.Owner, Closer: n.Closer, Actor: l.actors[n.ID],
		Conn: *n,
	}
	e.Conn.Spans = slices.Clone(n.Spans)
	delete(l.actors, n.ID)
	acked, known := n.BytesAcked()
	e.Acked, e.HasCounters = acked, e.HasCounters && known
	if n.Closed != 0 {
		e.Over = l.wall(n.Closed)
	}
	for i := range n.Spans {
		if n.Spans[i].State == tcp.Established && n.SpansCut == 0 && n.Spans[i].BeginKnown {
			e.Established = l.wall(n.Spans[i].Begin)
			break
		}
	}
	l.Ends = append(l.Ends, e)
	return true
}

// Flush does nothing.
func (l *Collector) Flush() error { return nil }

func (l *Collector) wall(t event.Time) int64 { return l.clock.Boot.UnixNano() + int64(t) }

func plain(e netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(e.Addr().Unmap(), e.Port()) }

// A Pair is two ends of one connection, by their places in the lists.
type Pair struct {
	A, B int

	// Translated says that the ends do not have the same addresses.
	Translated bool
	// Numbered says that their initial sequence numbers are the same.
	Numbered bool
	// Ambiguous says that another end would have done as well: the order of
	// the handshakes decided.
	Ambiguous bool
}

// A Translation is an address and port, or an address with port 0 for many,
// that one end has and the other end sees as another.
type Translation struct {
	Has, Seen netip.AddrPort
	Count     int
}

// A Result says which ends belong together.
type Result struct {
	Pairs []Pair

	// Offset is by how much B's clock is ahead of A's, and Within what it may be
	// wrong by. OffsetKnown is false where no handshake was seen from both ends.
	Offset      time.Duration
	Within      time.Duration
	OffsetKnown bool

	Translations []Translation // the most frequent first
}

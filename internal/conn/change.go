package conn

import (
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A Role says which side of its connection a socket is.
type Role uint8

const (
	RoleUnknown Role = iota
	Client           // it called connect()
	Server           // it was made by a listener, or is one
)

// String returns the role as records spell it, or "" for RoleUnknown.
func (r Role) String() string {
	switch r {
	case Client:
		return "client"
	case Server:
		return "server"
	}
	return ""
}

// A Via says how a process is known to belong to a connection.
type Via uint8

const (
	ViaUnknown  Via = iota
	ViaConnect      // it called connect()
	ViaAccept       // it called accept()
	ViaListen       // it called listen()
	ViaIO           // it read from or wrote to the socket
	ViaClose        // it closed the socket, or shut it down
	ViaSnapshot     // it held a descriptor when the trace began
)

var viaNames = [...]string{
	ViaUnknown: "", ViaConnect: "connect", ViaAccept: "accept", ViaListen: "listen",
	ViaIO: "io", ViaClose: "close", ViaSnapshot: "snapshot",
}

// String returns the word that records use, or "" for ViaUnknown.
func (v Via) String() string { return viaNames[v] }

// An Owner is a process with the evidence for it. The zero Owner is unknown.
type Owner struct {
	Task event.Task
	Via  Via
}

// Known reports whether o names a process.
func (o *Owner) Known() bool { return o.Task.Known() }

// An End says how a connection ended.
type End uint8

const (
	EndUnknown       End = iota
	EndFIN               // both FINs were exchanged and acknowledged
	EndResetSent         // our side sent a RST
	EndResetReceived     // the peer sent a RST
	EndRefused           // the peer answered our SYN with a RST
	EndTimeout           // retransmits or keepalives ran out
	EndUnreachable       // the network said that the peer cannot be reached
	EndAborted           // killed from outside
	EndError             // another error: Connection.Err

	EndFinWait2Timeout // the peer never closed: tcp_fin_timeout ended the orphan
	EndOverflow        // no room for a timewait socket: tcp_max_tw_buckets
	EndAbandoned       // our process closed it before the handshake was over
	EndUnsent          // connect() failed before a SYN left: no port was free, say
)

var endNames = [...]string{
	EndUnknown: "", EndFIN: "fin", EndResetSent: "reset_sent", EndResetReceived: "reset_received",
	EndRefused: "refused", EndTimeout: "timeout", EndUnreachable: "unreachable",
	EndAborted: "aborted", EndError: "error", EndFinWait2Timeout: "fin_wait2_timeout",
	EndOverflow: "overflow", EndAbandoned: "abandoned", EndUnsent: "unsent",
}

// String returns the word that records use, or "" for EndUnknown.
func (e End) String() string { return endNames[e] }

// A Span is one stay in one state. A connection's spans follow each other
// without a gap, and together they last from Opened to Closed.
type Span struct {
	Begin      event.Time
	End        event.Time // 0 while the stay lasts
	State      tcp.State
	BeginKnown bool // false: Begin is when we first knew of it
	EndUnknown bool // it ended at some time before End, which is when we knew that it had
}

// A Bound says what the time between a span's Begin and End is.
type Bound uint8

const (
	Exact   Bound = iota
	AtLeast       // the stay began before
	AtMost        // the stay ended before
	Unbound       // both
)

// Bound says what s.End less s.Begin is of the stay.
func (s *Span) Bound() Bound {
	switch {
	case s.BeginKnown && !s.EndUnknown:
		return Exact
	case !s.EndUnknown:
		return AtLeast
	case s.BeginKnown:
		return AtMost
	}
	return Unbound
}

// And is the bound of a sum of two times with these bounds.
func (b Bound) And(c Bound) Bound { return b | c }

// A Connection is all that is known of one socket's life: as a request
// socket, a full socket and a timewait socket. The tracker owns and changes
// it; who receives it in a Change may read it until the handler returns, and
// later only if Change.Kind is Ended and Options.Reuse is off. Then it does
// not change any more.
type Connection struct {
	ID     event.ID
	Local  netip.AddrPort
	Remote netip.AddrPort

	// Number tells c from all others that are followed or remembered at the same
	// time, from its first change to its last, when its ID may not be known yet.
	// The Connection's place in memory does not: it may change between two events.
	Number uint32

	Role        Role
	State       tcp.State
	SinceKnown  bool // false: Since is when we first knew of State
	OpenedKnown bool // false: Opened is when we first knew of the connection
	HasCounters bool // Counters is set
	End         End

	// Complete is false where the begin was not seen, an event may have been
	// lost while it lived, or an illegal transition was seen.
	Complete bool

	Since    event.Time // begin of the stay in State
	Opened   event.Time // first SYN sent or received
	Accepted event.Time // when accept() returned it; 0 where not known
	Closed   event.Time // 0 while open

	Spans    []Span // oldest first; the last one is State's, but for the final CLOSE, which has none
	SpansCut int    // oldest spans left out because there were too many

	Owner  Owner // who opened or accepted it
	Closer Owner // who closed it, where a process did

	// ResetCause says why a RST ended c, whichever end sent it, and
	// ResetInferred is Reset.Inferred of it.
	ResetCause    ResetCause
	ResetInferred bool

	ISNs event.ISNs // known once the handshake is over, and was seen to be

	Err         event.Errno // sk_err at the end
	Counters    event.Counters
	Retransmits [NumClasses]uint32 // segments sent again; their sum is what the kernel counts

	// Loss episodes: how many, how many of them were spurious, and the time
	// that they cost, or cost at least.
	Episodes, SpuriousEpisodes uint32
	EpisodeTime                time.Duration
	EpisodeTimeAtLeast         bool
}

// Listener reports whether c is a listening socket: no connection at all, but
// it has states.
func (c *Connection) Listener() bool {
	return c.State == tcp.Listen || c.Role == Server && c.Remote.Port() == 0
}

// Durations adds up the time spent in each state until now.
func (c *Connection) Durations(now event.Time) [tcp.NumStates]time.Duration {
	var d [tcp.NumStates]time.Duration
	for _, s := range c.Spans {
		end := s.End
		if end == 0 {
			end = max(now, s.Begin)
		}
		d[s.State] += end.Sub(s.Begin)
	}
	return d
}

// AcceptWait returns how long c was established, or already closed by the peer,
// until a process accepted it. ok is false where either time is not known.
func (c *Connection) AcceptWait() (wait time.Duration, ok bool) {
	if c.Accepted == 0 || c.SpansCut > 0 {
		return 0, false
	}
	for _, s := range c.Spans {
		if s.State == tcp.Established {
			return max(c.Accepted.Sub(s.Begin), 0), s.BeginKnown
		}
	}
	return 0, false
}

// A ChangeKind says what a Change reports.
type ChangeKind uint8

const (
	Transition ChangeKind = iota + 1 // Conn went from Old to New
	Retransmitted
	ResetSent
	ResetReceived
	Ended // Conn is over, or the trace is (then Conn.Closed is 0), or no room was left to follow it (also 0)
	Lost
	Owned     // Conn.Owner became known, or better known, apart from any transition
	Found     // Conn, older than the trace or its begin lost, was found in state New
	Corrected // Conn was found in New, where we believed it in Old: events are missing
	Dropped   // a packet was: Event has the reason; Conn is nil where no socket was found
	QueueFull // of the listener Conn, or of one that is not known: then Conn is nil
	Failed    // a system call of Task; Conn is nil where the call came to no socket
	Orphaned  // Conn is in FIN_WAIT2 and no process holds it any more: tcp_fin_timeout counts
	Episode   // a LossEpisode of Conn is over, or Conn or the trace is before that
	Errored   // Conn was closed, from Old, by an error: Conn.Err, 0 where that is not known. Package trace makes it of the Transition
	Idle      // Conn was found to idle, so long as Event.Idle says; or no more, since
	Crowd     // Event, RetransmitMore or ResetMore, counts what no connection can be named for; Conn is nil
)

// A Change is one thing that the tracker has understood.
//
// Changes come in the order in which they were understood, which is nearly
// the order of Time. A Change may be older than the one before it: the first
// transition of a connection waits until its address or cookie is known, a
// reset or CLOSE that can mean two things waits for a moment, and events
// themselves may come late. A connection's own changes are in order, but for
// events that came late. A listener has every kind of change but Ended.
type Change struct {
	Kind ChangeKind
	Time event.Time
	Conn *Connection // nil for Lost, and for a RST of no known socket; a RST may come after its Conn's Ended

	// Transition, Corrected; Found has New.
	Old, New     tcp.State
	InState      time.Duration // time spent in Old
	InStateKnown bool          // false: InState is at least so long; 0 where nothing is known
	Cause        event.Cause   // of TIME_WAIT's or a request's end
	Illegal      bool          // no TCP makes this transition: an event is missing
	Task         event.Task    // who caused it, where a process did

	// Event is the fact behind a Retransmitted, ResetSent, ResetReceived,
	// Dropped, QueueFull, Failed, Idle or Lost change, valid until the handler returns.
	Event *event.Event
	Class Class // of a Retransmitted
	Reset Reset // of a ResetSent or ResetReceived

	// Segments says what a Retransmitted counts as in the kernel's RetransSegs.
	Segments uint32

	// Episode is valid until the handler returns: see Clone.
	Episode *LossEpisode
}

// A Handler receives changes, from the goroutine that calls the tracker. The
// Change is the tracker's: it is valid until the handler returns.
type Handler func(*Change)

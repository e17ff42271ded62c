package screen

import (
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
	"github.com/tcptrace/tcptrace/internal/timeline"
)

// A View answers a Query, as of one time. Nobody changes it.
type View struct {
	Query Query
	Now   event.Time
	Ran   time.Duration // since the trace began, or the filter was set

	EventsPerSecond float64
	Lost            uint64 // events, since the trace began
	Open            int    // sockets that the filter selects
	States          []StateCount
	Found           [diagnose.Critical + 1]int // findings of each severity
	Cost            Cost
	Note            string // what the user should know of the run, such as a recording under way

	*Body
}

// A Body is the part of a View that takes time to make: it is made once a second.
type Body struct {
	At    event.Time
	Total int // rows that there are; there may be more than are in the list

	// Just one of these is set where Query.Focus is OnList.
	Findings []diagnose.Finding
	Conns    []Conn // also what belongs to a focus
	Groups   []Group
	Troubles []Trouble

	// Of a focus. All are nil where there is no more to be said: what it was on
	// is over and forgotten.
	Finding    *diagnose.Finding
	Group      *Group
	Trouble    *Trouble
	Connection *Life
	Chart      *timeline.Chart
	Resets     []Reset  // the newest first
	Resends    []Resend // the newest first
}

// A Cost is what tcptrace takes of the host.
type Cost struct {
	CPU    float64 // of one core, since the last look: 0.01 is 1%
	Memory uint64  // resident bytes
	// BPF is the run time of the BPF programs for each event; 0 where it is not known.
	BPF time.Duration
}

// A Conn is a row of a list of connections.
type Conn struct {
	ID            event.ID
	Local, Remote netip.AddrPort
	Process       event.Task
	Role          conn.Role
	State         tcp.State
	Since, Opened event.Time
	SinceKnown    bool
	OpenedKnown   bool
	Resent        uint32
	Closed        event.Time // 0 while it is open
	End           conn.End
}

// A Group is a row of a list of processes, peers or listeners.
type Group struct {
	Ref                           GroupRef
	Owner                         conn.Owner
	At                            netip.AddrPort
	NetNS                         uint32
	Role                          conn.Role
	States                        [tcp.NumStates]int32
	Open                          int
	Opened, Ended, Resets, Resent uint64
	PerSecond                     float64 // of begins, of late
	Queue                         event.Queue
	QueueKnown                    bool
	Full, FullSYN                 uint64
	Drops                         uint64
	DropsKnown                    bool
	// Others is set where the groups for which there was no room share this one.
	Others bool
}

// A Life is one connection from its begin.
type Life struct {
	conn.Connection
	Owners []Ownership // as they became known, the oldest first
}

// A Queue is a listening socket's accept queue, as it was read.
type Queue struct {
	NetNS         uint32
	Local         netip.AddrPort
	Length, Limit uint32
	Drops         uint64
	DropsKnown    bool
}

// View answers q.
func (m *Model) View(q Query) *View {
	v := m.Refresh(q, &Body{})
	v.Body = m.body(&q)
	return v
}

// Refresh answers q with a Body that was made a moment ago, for a Query that is
// equal to it.
func (m *Model) Refresh(q Query, b *Body) *View {
	v := &View{
		Query: q, Now: m.now, Ran: m.now.Sub(m.since), Body: b,
		EventsPerSecond: m.pace.perSecond, Lost: m.lost, Open: m.entries.len, States: m.history.strip(),
	}
	v.Found = m.found
	return v
}

// body makes the list, or the details, that q asks for.
func (m *Model) body(q *Query) *Body {
	b := &Body{At: m.now}
	findings := m.engine.Findings()
	m.found = [diagnose.Critical + 1]int{}
	for i := range findings {
		m.found[findings[i].Severity]++
	}
	switch q.Focus.Kind {
	case OnFinding:
		m.focusFinding(q, b, findings)
	case OnTimeline:
		m.focusTimeline(q, b)
	case OnGroup:
		m.focusGroup(q, b)
	case OnConnection:
		m.focusConnection(q, b)
	case OnTrouble:
		m.focusTrouble(q, b)
	default:
		m.list(q, b, findings)
	}
	return b
}

func (m *Model) list(q *Query, b *Body, findings []diagnose.Finding) {
	switch q.Tab {
	case Findings:
		b.Findings, b.Total = sortFindings(q, findings), len(findings)
	case Connections:
		b.Conns, b.Total = m.conns(q, nil)
	case Processes:
		b.Groups, b.Total = m.groups(q, &m.processes)
	case Peers:
		b.Groups, b.Total = m.groups(q, &m.peers)
	case Listeners:
		b.Groups, b.Total = m.groups(q, &m.listeners)
	case Resets:
		b.Troubles, b.Total = m.troubles(q, &m.resets)
	case Retransmits:
		b.Troubles, b.Total = m.troubles(q, &m.resends)
	}
}

// Queues takes in the accept queues of listeners, as they were at a time.
func (m *Model) Queues(all []Queue, at event.Time) {
	for _, g := range m.listeners.byKey {
		if g.open > 0 {
			g.dropsSet, g.drops = false, 0
		}
	}
	for i := range all {
		r := &all[i]
		g := m.listeners.byKey[listenerKey(r.NetNS, r.Local)]
		if g == nil {
			continue
		}
		if g.queueAt != at { // the first of several that share the port
			g.queueAt, g.queue = at, event.Queue{}
		}
		g.queue.Length += r.Length
		g.queue.Limit += r.Limit
		if r.DropsKnown {
			g.drops += r.Drops
			g.dropsSet = true
		}
	}
}

// ListenerNamespaces returns the network namespaces that have a listener.
func (m *Model) ListenerNamespaces() []uint32 {
	seen := map[uint32]bool{}
	var all []uint32
	for k, g := range m.listeners.byKey {
		if g.open > 0 && !seen[k.netns] {
			seen[k.netns] = true
			all = append(all, k.netns)
		}
	}
	return all
}

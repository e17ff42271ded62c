package screen

import (
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Bounds of what a Model keeps, beside the sockets that are open, of which the
// tracker bounds the number.
const (
	maxProcesses = 4096
	maxPeers     = 16384
	maxListeners = 4096
)

// A Trace is what a Model asks the trace for, on its goroutine.
type Trace interface {
	// Open yields the sockets that are open now. They are not kept.
	Open(yield func(*conn.Connection) bool)
	// Lookup returns a connection that is open or ended a moment ago, or nil.
	Lookup(id event.ID) *conn.Connection
	// Stats are the tracker's figures.
	Stats() conn.Stats
}

// Options say what a Model shows.
type Options struct {
	Settings diagnose.Settings // nil: no sysctl is known
	Clock    event.Clock

	// Selective says that the trace selects connections: it may say nothing more of
	// one that it has told of.
	Selective bool
}

// A Model takes in changes and answers Queries with Views. One goroutine uses it.
type Model struct {
	options Options
	trace   Trace
	filter  filter.Filter // of the screen

	logs  logs
	taken uint64 // changes
	pace  pace
	lost  uint64
	begun event.Time
	now   event.Time                 // of the last Advance
	found [diagnose.Critical + 1]int // findings of each severity, when a Body was last made
	figures
}

// figures are what is counted of the sockets that the filter selects. Another
// filter means others.
type figures struct {
	entries   entries
	history   history
	processes groups
	peers     groups
	listeners groups
	resets    troubles
	resends   troubles
	engine    *diagnose.Engine
	since     event.Time // when they were begun
	checked   event.Time // when entries was last compared with the tracker
}

// NewModel returns one that has seen nothing.
func NewModel(options Options) *Model {
	m := &Model{options: options, logs: newLogs()}
	m.begin()
	return m
}

// Attach says what trace the changes are of.
func (m *Model) Attach(t Trace) { m.trace = t }

func (m *Model) begin() {
	m.figures = figures{
		entries: newEntries(), processes: newGroups(maxProcesses), peers: newGroups(maxPeers), listeners: newGroups(maxListeners),
		resets: newTroubles(), resends: newTroubles(),
		engine: diagnose.New(diagnose.Options{Settings: m.options.Settings}),
	}
}

// SetFilter makes all figures those of the connections that f selects, beginning
// with what is open now, and with the resets and retransmits that are still known.
func (m *Model) SetFilter(f filter.Filter) {
	m.filter = f
	m.begin()
	m.since = m.now
	if m.trace != nil {
		for c := range m.trace.Open {
			if m.selects(c) {
				m.take(&conn.Change{Kind: conn.Found, Time: m.now, Conn: c, New: c.State})
			}
		}
	}
	for r := range m.logs.resets.oldestFirst {
		if m.selectsEnds(r.ID.NetNS, r.Local, r.Remote, &r.Owner.Task, nil) {
			m.resets.reset(r)
		}
	}
	for r := range m.logs.resends.oldestFirst {
		if m.selectsEnds(r.ID.NetNS, r.Local, r.Remote, &r.Owner.Task, nil) {
			m.resends.resend(r)
		}
	}
	m.history.advance(m.now)
}

// selects reports whether the screen's filter wants c. What it asks for and is
// not known is not wanted yet.
func (m *Model) selects(c *conn.Connection) bool {
	return m.selectsEnds(c.ID.NetNS, c.Local, c.Remote, &c.Owner.Task, &c.Closer.Task)
}

func (m *Model) selectsEnds(netns uint32, local, remote netip.AddrPort, owner, closer *event.Task) bool {
	s := filter.Subject{NetNS: netns, Local: local, Remote: remote, Owner: owner, Closer: closer}
	return m.filter.Match(&s) == filter.Yes
}

// Show takes in one change. It keeps neither the change nor its connection.
func (m *Model) Show(c *conn.Change) {
	m.taken++
	if c.Kind == conn.Lost {
		m.lost += c.Event.Loss.Count
		m.engine.Handle(c)
		return
	}
	reset, resend := m.logs.take(c)
	if !m.wanted(c) {
		return
	}
	m.take(c)
	switch {
	case reset != nil:
		m.reset(c, reset)
	case resend != nil:
		m.resent(c, resend)
	case c.Kind == conn.Episode:
		m.resends.episode(c)
	}
}

// wanted reports whether the filter selects what c is about. A connection that
// it has selected before stays.
func (m *Model) wanted(c *conn.Change) bool {
	if c.Conn == nil {
		return m.selectsEnds(c.Event.ID.NetNS, c.Event.Local, c.Event.Remote, &c.Event.Task, nil)
	}
	return m.selects(c.Conn) || m.entry(c.Conn) != nil
}

// entry returns what is kept of c, or nil. What was kept of another that had its
// number, and of which no end was told, is dropped.
func (m *Model) entry(c *conn.Connection) *entry {
	e := m.entries.find(c)
	if e == nil || e.is(c) {
		return e
	}
	m.remove(e)
	return nil
}

// take brings the figures up to date.
func (m *Model) take(c *conn.Change) {
	m.engine.Handle(c)
	switch c.Kind {
	case conn.Transition, conn.Corrected, conn.Found, conn.Owned, conn.Orphaned:
		m.update(c)
	case conn.Retransmitted, conn.ResetSent, conn.ResetReceived:
		if c.Conn != nil && m.entry(c.Conn) == nil { // the first that is heard of it
			m.update(c)
		}
	case conn.Ended:
		m.ended(c)
	case conn.QueueFull:
		m.queueFull(c)
	}
}

// update makes the entry of c.Conn what the connection is now.
func (m *Model) update(c *conn.Change) {
	e := m.entry(c.Conn)
	if c.Conn.State == tcp.Close || c.Conn.Closed != 0 {
		if e != nil && e.listening { // which has no Ended
			m.remove(e)
		}
		return
	}
	if e == nil {
		e = m.entries.add(c.Conn)
		e.listening = c.Conn.Listener()
		e.resent = uint32(c.Conn.Resent())
		m.join(e, c.Conn, c.Time)
		m.history.enter(e.state)
		e.process.opened++
		if e.process.key.pid != 0 { // else it is another's, as will be known
			e.process.rate.add(c.Time)
		}
		if e.peer != nil {
			e.peer.opened++
			e.peer.rate.add(c.Time)
		}
		if e.listener != nil && !e.listening {
			e.listener.opened++
			e.listener.rate.add(c.Time)
		}
		return
	}
	cn := c.Conn
	if e.state != cn.State {
		m.history.leave(e.state)
		m.history.enter(cn.State)
		m.count(e, cn.State)
	}
	e.since, e.sinceKnown = cn.Since, cn.SinceKnown
	if e.process.key.pid != cn.Owner.Task.PID || e.role != cn.Role || e.remote != cn.Remote || e.local != cn.Local {
		m.rejoin(e, cn, c.Time)
	}
}

// count moves e into a state, in all groups that it is in.
func (m *Model) count(e *entry, s tcp.State) {
	for _, g := range [...]*group{e.process, e.peer, e.listener} {
		if g != nil {
			g.states[e.state]--
			g.states[s]++
		}
	}
	e.state = s
}

// join fills in e and counts it in its groups.
func (m *Model) join(e *entry, c *conn.Connection, at event.Time) {
	e.local, e.remote, e.role = c.Local, c.Remote, c.Role
	e.since, e.opened, e.sinceKnown, e.openedKnown = c.Since, c.Opened, c.SinceKnown, c.OpenedKnown
	e.state = c.State
	e.process = m.processes.get(groupKey{pid: c.Owner.Task.PID})
	e.process.owner = c.Owner
	m.processes.enter(e.process, e.state)
	if e.listening {
		e.listener = m.listeners.get(listenerKey(c.ID.NetNS, c.Local))
		m.listeners.enter(e.listener, e.state)
		if c.Owner.Known() {
			e.listener.owner = c.Owner
		}
		return
	}
	e.peer = m.peers.get(peerKey(c))
	m.peers.enter(e.peer, e.state)
	if c.Role == conn.Server {
		if e.listener = m.listenerOf(c); e.listener != nil {
			m.listeners.enter(e.listener, e.state)
		}
	}
}

// rejoin counts e in other groups, since more is known of it now.
func (m *Model) rejoin(e *entry, c *conn.Connection, at event.Time) {
	before := *e
	m.part(e)
	m.join(e, c, at)
	move := func(from, to *group) {
		if from == to {
			return
		}
		if from != nil && from.opened > 0 {
			from.opened--
		}
		if to != nil {
			to.opened++
			to.rate.add(at)
		}
	}
	move(before.process, e.process)
	move(before.peer, e.peer)
	if !e.listening {
		move(before.listener, e.listener)
	}
}

// part takes e off its groups.
func (m *Model) part(e *entry) {
	m.processes.leave(e.process, e.state)
	if e.peer != nil {
		m.peers.leave(e.peer, e.state)
	}
	if e.listener != nil {
		m.listeners.leave(e.listener, e.state)
	}
	e.peer, e.listener = nil, nil
}

func (m *Model) remove(e *entry) {
	m.history.leave(e.state)
	m.part(e)
	m.entries.remove(e)
}

func (m *Model) ended(c *conn.Change) {
	e := m.entry(c.Conn)
	if e == nil {
		return
	}
	if c.Conn.Closed != 0 {
		m.history.entered[tcp.Close]++
		for _, g := range [...]*group{e.process, e.peer, e.listener} {
			if g != nil {
				g.ended++
			}
		}
	}
	m.remove(e)
}

func (m *Model) reset(c *conn.Change, r *Reset) {
	m.resets.reset(r)
	if c.Conn == nil {
		return
	}
	if e := m.entry(c.Conn); e != nil {
		e.process.resets += uint64(r.Count)
		if e.peer != nil {
			e.peer.resets += uint64(r.Count)
		}
		return
	}
	// The connection is over; its process and peer may be known yet.
	if g := m.processes.byKey[groupKey{pid: r.Owner.Task.PID}]; g != nil {
		g.resets += uint64(r.Count)
	}
	if g := m.peers.byKey[peerKey(c.Conn)]; g != nil {
		g.resets += uint64(r.Count)
	}
}

func (m *Model) resent(c *conn.Change, r *Resend) {
	m.resends.resend(r)
	if c.Conn == nil {
		return
	}
	if e := m.entry(c.Conn); e != nil {
		e.resent = uint32(c.Conn.Resent())
		e.process.resent += uint64(r.Segments)
		if e.peer != nil {
			e.peer.resent += uint64(r.Segments)
		}
	}
}

// queueFull counts packets that met a listener whose queue was full.
func (m *Model) queueFull(c *conn.Change) {
	ev := c.Event
	g := m.listenerAt(ev.ID.NetNS, ev.Local)
	if c.Conn != nil {
		if e := m.entry(c.Conn); e != nil && e.listening {
			g = e.listener
		}
	}
	if g == nil {
		return
	}
	n := uint64(max(ev.Count, 1))
	if ev.Queue.SYN {
		g.fullSYN += n
		return
	}
	g.full += n
	g.queue, g.queueAt = ev.Queue, ev.Time
}

func peerKey(c *conn.Connection) groupKey {
	at := netip.AddrPortFrom(c.Remote.Addr().Unmap(), 0)
	if c.Role == conn.Client {
		at = netip.AddrPortFrom(at.Addr(), c.Remote.Port())
	}
	return groupKey{at: at, role: c.Role}
}

func listenerKey(netns uint32, at netip.AddrPort) groupKey {
	return groupKey{netns: netns, at: netip.AddrPortFrom(at.Addr().Unmap(), at.Port())}
}

// listenerOf returns the group of the listener that made c, nil where that is
// not known.
func (m *Model) listenerOf(c *conn.Connection) *group { return m.listenerAt(c.ID.NetNS, c.Local) }

func (m *Model) listenerAt(netns uint32, local netip.AddrPort) *group {
	for _, addr := range [...]netip.Addr{local.Addr(), netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if g := m.listeners.find(listenerKey(netns, netip.AddrPortFrom(addr, local.Port()))); g != nil {
			return g
		}
	}
	return nil
}

// recheck is how often entries are compared with what the tracker has, which wakes
// all that sleep there. Where the trace selects by process, a connection may pass to
// another process, and nothing more is said of it.
const recheck = 10 * time.Second

// Advance says that every change up to now has been handed over.
func (m *Model) Advance(now event.Time) {
	if m.begun == 0 {
		m.begun, m.since = now, now
	}
	m.now = max(m.now, now)
	m.history.advance(m.now)
	m.engine.Advance(m.now.Add(-settled))
	if m.trace != nil {
		m.pace.take(m.now, m.trace.Stats().Events)
	}
	if m.options.Selective && m.now.Sub(m.checked) >= recheck {
		m.checked = m.now
		m.forgetStale()
	}
}

// settled is how much older than the present an event is when it certainly has
// been handed over.
const settled = 250 * time.Millisecond

// longestHandshake is more than any SYN_RECV lasts: tcp_synack_retries of 6 take
// two minutes.
const longestHandshake = 5 * time.Minute

// forgetStale drops entries of connections that the trace knows no more.
func (m *Model) forgetStale() {
	if m.trace == nil {
		return
	}
	for e := range m.entries.all {
		if e.id.Cookie&pseudoBit != 0 { // which cannot be looked up
			if m.now.Sub(e.since) > longestHandshake {
				m.remove(e)
			}
			continue
		}
		if c := m.trace.Lookup(e.id); c == nil || c.Closed != 0 {
			m.remove(e)
		}
	}
}

// A pace is how many events there were in the last second that is over.
type pace struct {
	at        event.Time
	events    uint64
	perSecond float64
}

func (p *pace) take(now event.Time, events uint64) {
	if p.at == 0 {
		p.at, p.events = now, events
		return
	}
	if d := now.Sub(p.at); d >= time.Second {
		p.perSecond = float64(events-p.events) / d.Seconds()
		p.at, p.events = now, events
	}
}

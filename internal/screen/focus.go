package screen

import (
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/timeline"
)

// maxListed bounds the resets and retransmits that a focus lists.
const maxListed = 200

func (m *Model) focusFinding(q *Query, b *Body, findings []diagnose.Finding) {
	for i := range findings {
		if findings[i].ID != q.Focus.Finding {
			continue
		}
		b.Finding = &findings[i]
		for _, id := range b.Finding.Conns {
			if row, ok := m.conn(id); ok {
				b.Conns = append(b.Conns, row)
			}
		}
	}
	b.Total = len(b.Conns)
}

// conn returns the row of a connection, open or not.
func (m *Model) conn(id event.ID) (Conn, bool) {
	c := m.life(id)
	if c == nil {
		return Conn{}, false
	}
	if e := m.entries.find(c); e != nil && e.is(c) {
		return e.row(), true
	}
	return rowOf(c), true
}

func rowOf(c *conn.Connection) Conn {
	return Conn{
		ID: c.ID, Local: c.Local, Remote: c.Remote, Process: c.Owner.Task, Role: c.Role, State: c.State,
		Since: c.Since, Opened: c.Opened, SinceKnown: c.SinceKnown, OpenedKnown: c.OpenedKnown,
		Resent: uint32(c.Resent()), Closed: c.Closed, End: c.End,
	}
}

// life returns what is known of a connection, nil where that is nothing. It is
// not to be kept.
func (m *Model) life(id event.ID) *conn.Connection {
	if m.trace != nil {
		if c := m.trace.Lookup(id); c != nil {
			return c
		}
	}
	for c := range m.logs.ended.newestFirst {
		if c.ID == id {
			return &c.Connection
		}
	}
	return nil
}

func (m *Model) focusConnection(q *Query, b *Body) {
	id := q.Focus.Conn
	c := m.life(id)
	if c == nil {
		return
	}
	life := &Life{Connection: *c}
	life.Spans = slices.Clone(c.Spans)
	for o := range m.logs.owned.oldestFirst {
		if o.ID == id {
			life.Owners = append(life.Owners, *o)
		}
	}
	b.Connection = life
	m.listTroubles(b, func(r event.ID) bool { return r == id })
}

// listTroubles lists the resets and retransmits of some connections.
func (m *Model) listTroubles(b *Body, of func(event.ID) bool) {
	for r := range m.logs.resets.newestFirst {
		if of(r.ID) && len(b.Resets) < maxListed {
			b.Resets = append(b.Resets, *r)
		}
	}
	for r := range m.logs.resends.newestFirst {
		if of(r.ID) && len(b.Resends) < maxListed {
			b.Resends = append(b.Resends, *r)
		}
	}
}

func (m *Model) focusTrouble(q *Query, b *Body) {
	x := &m.resends
	if q.Tab == Resets {
		x = &m.resets
	}
	t := x.byKey[q.Focus.Trouble]
	if t == nil {
		return
	}
	copied := *t
	copied.PerSecond = t.rate.now(m.now)
	b.Trouble = &copied
	ids := map[event.ID]bool{}
	note := func(id event.ID) {
		if id.Cookie == 0 || ids[id] || len(ids) >= q.Rows {
			return
		}
		ids[id] = true
		if row, ok := m.conn(id); ok {
			b.Conns = append(b.Conns, row)
		}
	}
	if q.Tab == Resets {
		for r := range m.logs.resets.newestFirst {
			if keyOfReset(r) == q.Focus.Trouble && len(b.Resets) < maxListed {
				b.Resets = append(b.Resets, *r)
				note(r.ID)
			}
		}
	} else {
		for r := range m.logs.resends.newestFirst {
			if resendKey(r.Owner, r.ID.NetNS, r.Role, r.Local, r.Remote) == q.Focus.Trouble && len(b.Resends) < maxListed {
				b.Resends = append(b.Resends, *r)
				note(r.ID)
			}
		}
	}
	b.Total = len(b.Conns)
}

func (m *Model) groupOf(ref GroupRef) *group {
	switch ref.Tab {
	case Processes:
		return m.processes.byKey[ref.key]
	case Peers:
		return m.peers.byKey[ref.key]
	}
	return m.listeners.byKey[ref.key]
}

func (m *Model) focusGroup(q *Query, b *Body) {
	g := m.groupOf(q.Focus.Group)
	if g == nil {
		return
	}
	row := m.group(q.Focus.Group.Tab, g)
	b.Group = &row
	b.Conns, b.Total = m.conns(q, func(e *entry) bool { return e.process == g || e.peer == g || e.listener == g })
}

// timelineRows bounds the connections that a timeline is made of.
const timelineRows = 512

// focusTimeline draws a process's connections of the last minute.
func (m *Model) focusTimeline(q *Query, b *Body) {
	m.focusGroup(&Query{Tab: q.Tab, Focus: q.Focus, Rows: timelineRows}, b)
	if b.Group == nil {
		return
	}
	pid := q.Focus.Group.key.pid
	chart := timeline.NewCollector(timeline.Options{MaxConnections: 2 * timelineRows})
	chart.Begin(m.begun)
	drawn := map[event.ID]*conn.Connection{}
	for c := range m.logs.ended.newestFirst {
		if c.Owner.Task.PID == pid && c.Closed >= m.now.Add(-time.Minute) && len(drawn) < timelineRows {
			drawn[c.ID] = &c.Connection
			chart.Show(&conn.Change{Kind: conn.Ended, Time: c.Closed, Conn: &c.Connection})
		}
	}
	for i := range b.Conns {
		if c := m.life(b.Conns[i].ID); c != nil {
			drawn[c.ID] = c
			chart.Show(&conn.Change{Kind: conn.Found, Time: m.now, Conn: c, New: c.State})
		}
	}
	m.mark(chart, drawn)
	b.Chart = chart.Chart(timeline.View{Now: m.now, Window: time.Minute, Height: 2 * timelineRows})
}

// mark puts the retransmits and resets of connections on a chart.
func (m *Model) mark(chart *timeline.Collector, drawn map[event.ID]*conn.Connection) {
	for r := range m.logs.resends.oldestFirst {
		if c := drawn[r.ID]; c != nil {
			chart.Show(&conn.Change{
				Kind: conn.Retransmitted, Time: r.Time, Conn: c, Class: r.Class, Event: &event.Event{Old: r.State},
			})
		}
	}
	for r := range m.logs.resets.oldestFirst {
		if c := drawn[r.ID]; c != nil {
			kind := conn.ResetSent
			if r.Received {
				kind = conn.ResetReceived
			}
			chart.Show(&conn.Change{Kind: kind, Time: r.Time, Conn: c, Event: &event.Event{Old: r.State, Reason: r.Reason}})
		}
	}
}

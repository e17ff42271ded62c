// Package timeline gathers the lives of connections and lays them out against
// time: a row of cells for each connection, and a summary for each process. It
// reads no clock, does no I/O and knows nothing of how a chart is written.
package timeline

import (
	"container/list"
	"net/netip"
	"slices"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Options bound what a Collector keeps.
type Options struct {
	// MaxConnections bounds the connections kept. Above it the one that ended
	// first is dropped; where none has ended, new ones are refused. The
	// summaries have them all, but for the refused ones while they are open.
	// 0 means 50,000.
	MaxConnections int

	// MaxProcesses bounds the processes: above it those are forgotten of which
	// no connection is kept any more. 0 means 4,096.
	MaxProcesses int

	// States selects connections that have been in one of these. Empty selects
	// all.
	States []tcp.State

	// Dropped, if set, is called with each connection that is dropped to make
	// room, or by Expire, which may keep it.
	Dropped func(*Connection)
}

// Totals say how much a Collector has seen, and what it could not keep.
type Totals struct {
	Connections uint64 // begun or found, listeners apart
	Ended       uint64 // of these
	Dropped     uint64 // ended, and dropped to make room
	Refused     uint64 // changes of connections for which there was no room
	Forgotten   uint64 // processes dropped to make room
	Lost        uint64 // events that the kernel side could not hand over
}

// A Collector takes in changes and keeps what a chart needs of them. It copies
// what it keeps: the tracker may reuse its memory. It is not safe for
// concurrent use.
type Collector struct {
	options   Options
	byKey     map[key]*Connection // the latest life of each
	ended     list.List           // of *Connection, in the order of their end
	open      int
	processes map[uint32]*process // by pid; 0 is unknown
	totals    Totals
	first     event.Time
	last      event.Time
}

// A key is a connection's identity. Until a request socket has a cookie its
// addresses stand for it.
type key struct {
	id            event.ID
	local, remote netip.AddrPort
}

func keyOf(c *conn.Connection) key {
	if c.ID.Cookie != 0 {
		return key{id: c.ID}
	}
	return tupleOf(c)
}

func tupleOf(c *conn.Connection) key {
	return key{id: event.ID{NetNS: c.ID.NetNS}, local: c.Local, remote: c.Remote}
}

// NewCollector returns a Collector that has seen nothing.
func NewCollector(options Options) *Collector {
	if options.MaxConnections <= 0 {
		options.MaxConnections = 50_000
	}
	if options.MaxProcesses <= 0 {
		options.MaxProcesses = 4096
	}
	return &Collector{
		options:   options,
		byKey:     map[key]*Connection{},
		processes: map[uint32]*process{},
	}
}

// Totals returns the figures as they are now.
func (l *Collector) Totals() Totals { return l.totals }

// Begin says that the trace has begun at t.
func (l *Collector) Begin(t event.Time) { l.first = t }

// Last returns the time of the latest change.
func (l *Collector) Last() event.Time { return l.last }

// Show takes in one change, and reports whether it was the end of a
// connection that is wanted.
func (l *Collector) Show(c *conn.Change) bool {
	if c.Kind == conn.Lost {
		l.totals.Lost += c.Event.Loss.Count
		return false
	}
	switch c.Kind {
	case conn.Dropped, conn.QueueFull, conn.Failed:
		return false // no part of a life, and may come long after it
	}
	if c.Conn == nil || c.Conn.Listener() {
		return false
	}
	l.last = max(l.last, c.Time)
	r := l.find(c)
	if r == nil {
		if r = l.admit(c); r == nil {
			return false
		}
	}
	if !r.over {
		r.update(c.Conn)
	}
	switch c.Kind {
	case conn.Retransmitted, conn.ResetSent, conn.ResetReceived:
		r.mark(c)
	case conn.Ended:
		if !r.over {
			l.end(r, c.Time)
			return l.wants(r)
		}
	}
	return false
}

// find returns the connection that c speaks of, or nil if it is a new one.
func (l *Collector) find(c *conn.Change) *Connection {
	r := l.byKey[keyOf(c.Conn)]
	if r == nil && c.Conn.ID.Cookie != 0 {
		before := tupleOf(c.Conn)
		if r = l.byKey[before]; r == nil || r.over || r.Opened != c.Conn.Opened {
			return nil
		}
		delete(l.byKey, before)
		l.byKey[keyOf(c.Conn)] = r
	}
	if r != nil && r.over && (r.Closed == 0 || r.Closed != c.Conn.Closed) {
		return nil // another life
	}
	return r
}

// admit makes a row for the connection of c. Where there is no room it returns
// nil, and takes an end into the summary all the same.
func (l *Collector) admit(c *conn.Change) *Connection {
	if l.open+l.ended.Len() >= l.options.MaxConnections && l.ended.Len() > 0 {
		l.totals.Dropped++
		l.drop(l.ended.Front())
	}
	r := &Connection{}
	if l.open+l.ended.Len() >= l.options.MaxConnections {
		l.totals.Refused++
		if c.Kind == conn.Ended {
			r.update(c.Conn)
			l.totals.Connections++
			l.open++
			l.end(r, c.Time)
			l.drop(l.ended.Back())
		}
		return nil
	}
	l.totals.Connections++
	l.open++
	l.byKey[keyOf(c.Conn)] = r
	return r
}

// end takes a connection into its process's summary for good.
func (l *Collector) end(r *Connection, at event.Time) {
	r.over, r.until = true, at
	l.open--
	l.totals.Ended++
	l.ended.PushBack(r)
	if l.wants(r) {
		p := l.process(&r.Connection)
		p.kept++
		p.include(r, at)
	}
}

// drop forgets a connection that has ended.
func (l *Collector) drop(e *list.Element) {
	r := l.ended.Remove(e).(*Connection)
	if k := keyOf(&r.Connection); l.byKey[k] == r {
		delete(l.byKey, k)
	}
	if !l.wants(r) {
		return
	}
	pid := r.Owner.Task.PID
	if p := l.processes[pid]; p != nil {
		p.kept--
		if p.kept == 0 && len(l.processes) >= l.options.MaxProcesses {
			delete(l.processes, pid)
			l.totals.Forgotten++
		}
	}
	if l.options.Dropped != nil {
		l.options.Dropped(r)
	}
}

// Expire drops the connections that were over before t.
func (l *Collector) Expire(t event.Time) {
	for e := l.ended.Front(); e != nil && e.Value.(*Connection).until < t; e = l.ended.Front() {
		l.drop(e)
	}
}

// wants reports whether r has been in one of the states asked for.
func (l *Collector) wants(r *Connection) bool {
	return len(l.options.States) == 0 || r.hasBeenIn(l.options.States)
}

// process returns the process that owns c, which may be unknown.
func (l *Collector) process(c *conn.Connection) *process {
	p := l.processes[c.Owner.Task.PID]
	if p == nil {
		p = &process{}
		l.processes[c.Owner.Task.PID] = p
	}
	return p
}

// all yields each connection that is kept and wanted, in no order.
func (l *Collector) all(yield func(*Connection) bool) {
	for e := l.ended.Front(); e != nil; e = e.Next() {
		if r := e.Value.(*Connection); l.wants(r) && !yield(r) {
			return
		}
	}
	for _, r := range l.byKey {
		if !r.over && l.wants(r) && !yield(r) {
			return
		}
	}
}

// Connections returns those that are kept, oldest first.
func (l *Collector) Connections() []*Connection {
	return slices.SortedFunc(l.all, compare)
}

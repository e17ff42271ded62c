package report

import (
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// maxResets bounds the resets that are remembered: the first half of them, and
// the last ones.
const maxResets = 1000

// A reset is one RST, sent or received.
type reset struct {
	time          event.Time
	sent          bool
	state         tcp.State
	reason        string
	local, remote netip.AddrPort
	owner         conn.Owner
	id            event.ID
	told          conn.Reset
}

// resets remembers the first and the last of them.
type resets struct {
	first []reset
	last  []reset // a ring once it is full
	next  int
	count uint64
}

func (l *resets) show(c *conn.Change) {
	if c.Kind != conn.ResetSent && c.Kind != conn.ResetReceived {
		return
	}
	r := reset{
		time: c.Time, sent: c.Kind == conn.ResetSent, state: c.Event.Old, reason: c.Event.Reason,
		local: c.Event.Local, remote: c.Event.Remote, told: c.Reset, id: c.Event.ID,
	}
	if c.Conn != nil {
		r.local, r.remote, r.owner, r.id = c.Conn.Local, c.Conn.Remote, c.Conn.Owner, c.Conn.ID
	}
	if !r.owner.Known() && c.Task.Known() {
		r.owner.Task = c.Task
	}
	l.count++
	switch {
	case len(l.first) < maxResets/2:
		l.first = append(l.first, r)
	case len(l.last) < maxResets/2:
		l.last = append(l.last, r)
	default:
		l.last[l.next] = r
		l.next = (l.next + 1) % len(l.last)
	}
}

// all returns what is remembered, in the order in which it came.
func (l *resets) all() []reset {
	all := append([]reset(nil), l.first...)
	all = append(all, l.last[l.next:]...)
	return append(all, l.last[:l.next]...)
}

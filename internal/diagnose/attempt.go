package diagnose

import (
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	scanTargets = 20          // different addresses and ports without success
	scanPeriod  = time.Minute // in which they are tried
	maxTargets  = 4096
)

// attempts knows, of each process, how its calls of connect() end: the rules
// about refused and unanswered ones give way to connect-scan.
type attempts struct {
	e  *Engine
	of map[uint32]*attempt
}

type attempt struct {
	began     event.Time
	tried     uint64
	succeeded uint64
	failed    map[netip.AddrPort]bool // refused or not answered
	hosts     map[netip.Addr]bool
	refused   uint64
	silent    uint64
	scan      bool // from then on for good
}

func (a *attempts) init(e *Engine) { a.e, a.of = e, map[uint32]*attempt{} }

func (a *attempts) get(pid uint32) *attempt {
	x := a.of[pid]
	if x == nil && len(a.of) < maxProcesses {
		x = &attempt{began: a.e.now, failed: map[netip.AddrPort]bool{}, hosts: map[netip.Addr]bool{}}
		a.of[pid] = x
	}
	if x != nil && !x.scan && a.e.now.Sub(x.began) > scanPeriod {
		clear(x.failed)
		clear(x.hosts)
		*x = attempt{began: a.e.now, failed: x.failed, hosts: x.hosts}
	}
	return x
}

func (a *attempts) change(c *conn.Change) {
	if c.Conn.Role != conn.Client || !c.Conn.Owner.Known() {
		return
	}
	switch {
	case c.Kind == conn.Transition && c.Old == tcp.Close && c.New == tcp.SynSent:
		if x := a.get(c.Conn.Owner.Task.PID); x != nil {
			x.tried++
		}
	case c.Kind == conn.Transition && c.Old == tcp.SynSent && c.New == tcp.Established:
		if x := a.get(c.Conn.Owner.Task.PID); x != nil {
			x.succeeded++
		}
	case c.Kind == conn.Ended && c.Conn.End == conn.EndRefused:
		a.fail(c.Conn.Owner.Task.PID, c.Conn.Remote, true)
	}
}

// fail notes a connect() that was refused, or had no answer.
func (a *attempts) fail(pid uint32, to netip.AddrPort, refused bool) {
	x := a.get(pid)
	if x == nil {
		return
	}
	if refused {
		x.refused++
	} else {
		x.silent++
	}
	if to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port()); len(x.failed) < maxTargets {
		x.failed[to] = true
		x.hosts[to.Addr()] = true
	}
	if len(x.failed) >= scanTargets && 2*(x.refused+x.silent) >= x.tried {
		x.scan = true
	}
}

// scanning reports whether the process is one that tries many addresses.
func (a *attempts) scanning(pid uint32) bool {
	x := a.of[pid]
	return pid != 0 && x != nil && x.scan
}

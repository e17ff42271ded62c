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
	e     *Engine
	scans []*process // those that scan, up to maxCauses
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

func (a *attempts) init(e *Engine) { a.e = e }

// get returns the process's attempts of this minute, or of all its time if it
// scans.
func (a *attempts) get(p *process) *attempt {
	x := &p.attempt
	if x.failed == nil || !x.scan && a.e.now.Sub(x.began) > scanPeriod {
		*x = attempt{began: a.e.now, failed: map[netip.AddrPort]bool{}, hosts: map[netip.Addr]bool{}}
	}
	return x
}

func (a *attempts) change(c *conn.Change) {
	if c.Conn.Role != conn.Client {
		return
	}
	p := a.e.process(&c.Conn.Owner)
	switch {
	case p == nil:
	case c.Kind == conn.Transition && c.Old == tcp.Close && c.New == tcp.SynSent:
		a.get(p).tried++
	case c.Kind == conn.Transition && c.Old == tcp.SynSent && c.New == tcp.Established:
		a.get(p).succeeded++
	case c.Kind == conn.Ended && c.Conn.End == conn.EndRefused:
		a.fail(p, c.Conn.Remote, true)
	}
}

// fail notes a connect() that was refused, or had no answer.
func (a *attempts) fail(p *process, to netip.AddrPort, refused bool) {
	if p == nil {
		return
	}
	x := a.get(p)
	if refused {
		x.refused++
	} else {
		x.silent++
	}
	if to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port()); len(x.failed) < maxTargets {
		x.failed[to] = true
		x.hosts[to.Addr()] = true
	}
	if !x.scan && len(x.failed) >= scanTargets && 2*(x.refused+x.silent) >= x.tried && len(a.scans) < maxCauses {
		x.scan = true
		a.scans = append(a.scans, p)
	}
}

// scanning reports whether the process is one that tries many addresses.
func (p *process) scanning() bool { return p != nil && p.attempt.scan }

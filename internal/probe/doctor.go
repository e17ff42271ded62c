//go:build linux

package probe

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A service is a capability that rests on hooks, on all of those that say so.
type service struct {
	name    string
	without Grade  // what is left when one of them is missing
	lost    string // what is not known then
	remedy  string
}

// The services' names.
const (
	transitions    = "transitions"
	newCookie      = "cookie of a new socket"
	localPort      = "local port in SYN_SENT"
	synRecv        = "SYN_RECV"
	requestCookie  = "cookie in SYN_RECV"
	orphanFinWait2 = "FIN_WAIT2 after close()"
	timeWait       = "TIME_WAIT"
	acceptOwner    = "process of an accepted socket"
	acceptTime     = "accept()"
	retransmits    = "retransmits"
	congestion     = "congestion state"
	drops          = "dropped packets"
	fullQueues     = "full listen queues"
	storms         = "counts in a storm"
	failedCalls    = "failed connect() and accept()"
	resetsSent     = "resets sent"
	resetsReceived = "resets received"
)

const (
	remedySymbols = "grant CAP_SYSLOG, and set kernel.kptr_restrict below 2"
	remedyCgroup  = "mount the cgroup v2 hierarchy, and grant CAP_NET_ADMIN"
	remedyKernel  = "a newer kernel"
	remedyTypes   = "a kernel with CONFIG_DEBUG_INFO_BTF"
	remedyErrors  = "\"tcptrace why\" watches them, at 50 ns for each system call of the host"
	remedyAccept  = "--exact-accept, at 50 ns for each system call of the host"
)

// services lists what tcptrace can tell, in the order of a connection's life.
func services() []service {
	return []service{
		{transitions, Absent, "everything", ""},
		{newCookie, Bounded, "a connection's first transition is told apart by its addresses", remedyCgroup},
		{localPort, Bounded, "shown once the peer answers or the SYN is sent again", remedySymbols},
		{synRecv, Absent, "SYN_RECV is seen only as it ends", remedySymbols},
		{requestCookie, Bounded, "half-open connections are told apart by their addresses", remedyCgroup},
		{orphanFinWait2, Bounded, "its end is known only when TIME_WAIT ends", remedyKernel},
		{timeWait, Absent, "connections seem to end where TIME_WAIT begins", remedySymbols},
		{acceptOwner, Bounded, "known only when the process closes the socket", remedyKernel},
		{acceptTime, Bounded, "the process is known once it reads, the time of accept() is not", remedyAccept},
		{retransmits, Absent, "retransmits are not shown", ""},
		{congestion, Bounded, "needless retransmits are not told from others", remedyKernel},
		{drops, Absent, "packets that the kernel drops are not shown", remedyKernel},
		{fullQueues, Bounded, "how many packets met one is a bound, and who sent them is not known", remedyKernel},
		{storms, Bounded, "the last ones of a storm are not counted", remedyKernel},
		{failedCalls, Bounded, "of those that fail at once, only a connect() that finds no free port is seen", remedyErrors},
		{resetsSent, Absent, "sent resets are not shown", ""},
		{resetsReceived, Absent, "received resets are not shown", ""},
	}
}

// Capabilities says what is served by which hook.
func (s *Source) Capabilities() []Capability {
	var out []Capability
	for _, service := range services() {
		out = append(out, s.programs.grade(&service))
	}
	return append(append(out, s.kernel.details()...), s.sweeping())
}

// sweeping is the capability of knowing what is older than the trace.
func (s *Source) sweeping() Capability {
	c := Capability{Name: "sockets older than the trace", Grade: Exact, Hook: "iter/tcp, iter/task_file"}
	if s.unswept != nil {
		c = Capability{
			Name: c.Name, Grade: Bounded, Lost: "known only by what happens to them",
			Why: firstLine(s.unswept), Remedy: remedyKernel,
		}
		if errors.Is(s.unswept, errUntyped) {
			c.Remedy = remedyTypes
		}
	} else if !hasCapability(unix.CAP_SYS_ADMIN) {
		c.Grade, c.Lost = Bounded, "those of other network namespaces are known only by what happens to them"
		c.Why, c.Remedy = "CAP_SYS_ADMIN is missing, without which no namespace can be entered", "grant CAP_SYS_ADMIN"
	}
	return c
}

// serve reports whether every hook of a service is attached.
func (p *programs) serve(name string) bool {
	return p.grade(&service{name: name, without: Absent}).Grade == Exact
}

// grade finds out whether all the hooks of a service are attached.
func (p *programs) grade(s *service) Capability {
	c := Capability{Name: s.name, Grade: Exact}
	var where []string
	for _, h := range p.hooks {
		if !slices.Contains(h.serves, s.name) {
			continue
		}
		where = append(where, h.where)
		why, missing := p.absent[h.program]
		if !missing {
			why, missing = h.limits[s.name]
		}
		if missing {
			c.Grade, c.Lost, c.Why, c.Remedy = s.without, s.lost, firstLine(why), s.remedy
			switch {
			case errors.Is(why, errHidden):
				c.Remedy = remedySymbols
			case errors.Is(why, errUntyped):
				c.Remedy = remedyTypes
			}
		}
	}
	if len(where) == 0 { // see Options.NoOwners
		c.Grade, c.Lost, c.Why, c.Remedy = s.without, s.lost, leftOut, s.remedy
	}
	if c.Grade != Absent {
		c.Hook = strings.Join(where, ", ")
	}
	return c
}

// firstLine returns an error in one line, without the library's advice on
// memory limits: it gives that with every EPERM, and we have lifted them.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	line, _, _ = strings.Cut(line, " (MEMLOCK")
	return line
}

// details are the capabilities that rest on what a tracepoint passes.
func (k *kernel) details() []Capability {
	detail := func(name string, have bool, hook, lost, since string) Capability {
		if have {
			return Capability{Name: name, Grade: Exact, Hook: hook}
		}
		return Capability{Name: name, Grade: Absent, Lost: lost, Why: "this kernel's " + hook + " does not tell", Remedy: "Linux " + since + " or later"}
	}
	return []Capability{
		detail("why a reset was sent", k.resetReason, k.tracepoint("tcp_send_reset"), "the kernel's reason is not shown", "6.10"),
		detail("retransmits not sent", k.retransmitErr, k.tracepoint("tcp_retransmit_skb"), "a retransmit that could not be sent looks like one that was", "6.17"),
		{Name: "process of a transition", Grade: Exact, Hook: "sk_lock.owned"},
		k.endCauses(),
	}
}

// endCauses is the capability of telling from a stack, by its functions' names,
// why a timewait socket ended.
func (k *kernel) endCauses() Capability {
	c := Capability{Name: "why TIME_WAIT ended", Grade: Exact, Hook: "/proc/kallsyms"}
	if k.hidden != nil {
		c.Grade, c.Lost = Bounded, "an end before its time has no cause, and a dropped packet no place in the kernel"
		c.Why, c.Remedy = firstLine(k.hidden), remedySymbols
	}
	return c
}

// Examine loads and attaches the programs for a moment, to say what can be
// traced here, by the hooks and the types that the options name. It returns the
// error of Open where nothing can.
func Examine(opts Options) ([]Capability, error) {
	opts.RingBytes = 1 << 16
	s, err := Open(opts)
	if err != nil {
		return nil, err
	}
	return s.Capabilities(), s.Close()
}

//go:build linux

package probe

import (
	"strings"

	"github.com/tcptrace/tcptrace/internal/bpf"
)

// A service says which programs a capability rests on, and what is not known
// without them.
type service struct {
	name     string
	programs []string // all of them are needed
	without  Grade    // what is left when one of them is missing
	lost     string
	remedy   string
}

const (
	remedySymbols = "set kernel.kptr_restrict to 0, or grant CAP_SYSLOG"
	remedyCgroup  = "mount the cgroup v2 hierarchy, and grant CAP_NET_ADMIN"
	remedyKernel  = "a newer kernel"
)

// services lists what tcptrace can tell, in the order of a connection's life.
func services() []service {
	timers := []string{bpf.TcptraceProgTtTimerStart, bpf.TcptraceProgTtTimerCancel}
	return []service{
		{name: "transitions", programs: []string{bpf.TcptraceProgTtSetState}, without: Absent,
			lost: "everything"},
		{name: "local port in SYN_SENT", programs: timers[:1], without: Bounded,
			lost: "shown once the peer answers or the SYN is sent again", remedy: remedySymbols},
		{name: "SYN_RECV", programs: append(timers[:2:2], bpf.TcptraceProgTtTimerExpire, bpf.TcptraceProgTtTimerDone),
			without: Absent, lost: "SYN_RECV is seen only as it ends", remedy: remedySymbols},
		{name: "cookie in SYN_RECV", programs: []string{bpf.TcptraceProgTtSockops}, without: Bounded,
			lost: "half-open connections are told apart by their addresses", remedy: remedyCgroup},
		{name: "FIN_WAIT2 after close()", programs: append(timers[:2:2], bpf.TcptraceProgTtKfreeSkb), without: Bounded,
			lost: "its end is known only when TIME_WAIT ends", remedy: remedyKernel},
		{name: "TIME_WAIT", programs: timers, without: Absent,
			lost: "connections seem to end where TIME_WAIT begins", remedy: remedySymbols},
		{name: "process of an accepted socket", programs: []string{bpf.TcptraceProgTtRead}, without: Bounded,
			lost: "known only when the process closes the socket", remedy: remedyKernel},
		{name: "retransmits", programs: []string{bpf.TcptraceProgTtRetrans, bpf.TcptraceProgTtSynack}, without: Absent,
			lost: "retransmits are not shown"},
		{name: "resets sent", programs: []string{bpf.TcptraceProgTtSendReset}, without: Absent,
			lost: "sent resets are not shown"},
		{name: "resets received", programs: []string{bpf.TcptraceProgTtRecvReset}, without: Absent,
			lost: "received resets are not shown"},
	}
}

// Capabilities says what is served by which hook.
func (s *Source) Capabilities() []Capability {
	var out []Capability
	for _, service := range services() {
		out = append(out, s.programs.grade(&service))
	}
	return append(out, s.kernel.details()...)
}

// grade finds out whether all the programs of a service are attached.
func (p *programs) grade(s *service) Capability {
	c := Capability{Name: s.name, Grade: Exact, Hook: places(s.programs)}
	for _, program := range s.programs {
		if why, missing := p.absent[program]; missing {
			c.Grade, c.Lost, c.Why, c.Remedy = s.without, s.lost, firstLine(why), s.remedy
		}
	}
	if c.Grade == Absent {
		c.Hook = ""
	}
	return c
}

// places lists where the programs are attached.
func places(programs []string) string {
	var where []string
	for _, program := range programs {
		for _, h := range allHooks() {
			if h.program == program {
				where = append(where, h.where)
			}
		}
	}
	return strings.Join(where, ", ")
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
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
		detail("why a reset was sent", k.resetReason, "tp_btf/tcp_send_reset", "the kernel's reason is not shown", "6.10"),
		detail("retransmits not sent", k.retransmitErr, "tp_btf/tcp_retransmit_skb", "a retransmit that could not be sent looks like one that was", "6.17"),
		{Name: "process of a transition", Grade: Exact, Hook: "sk_lock.owned"},
	}
}

// Examine loads and attaches the programs for a moment, to say what can be
// traced here. It returns the error of Open where nothing can.
func Examine() ([]Capability, error) {
	s, err := Open(Options{RingBytes: 1 << 16})
	if err != nil {
		return nil, err
	}
	return s.Capabilities(), s.Close()
}

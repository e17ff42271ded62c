package filter

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"

	"github.com/tcptrace/tcptrace/internal/event"
)

// A Verdict is a Filter's judgement of one connection.
type Verdict uint8

const (
	No        Verdict = iota
	Undecided         // what would decide it is not known yet
	Yes
)

// A Subject is what is known of a connection at the moment it is judged.
type Subject struct {
	NetNS  uint32         // 0 where not known
	Local  netip.AddrPort // invalid, or with port 0, where not known
	Remote netip.AddrPort // invalid for a listener
	Owner  *event.Task    // nil or unknown where no process is known
	Closer *event.Task    // likewise
}

// Match judges a connection. No is final; Undecided may become Yes or No as
// more is known.
func (f *Filter) Match(s *Subject) Verdict {
	return min(f.matchNetNS(s), f.matchFamily(s), f.matchPorts(s), f.matchNets(s), f.matchProcess(s))
}

func (f *Filter) matchNetNS(s *Subject) Verdict {
	switch {
	case len(f.NetNS) == 0, slices.Contains(f.NetNS, s.NetNS):
		return Yes
	case s.NetNS == 0:
		return Undecided
	}
	return No
}

func (f *Filter) matchFamily(s *Subject) Verdict {
	if f.IPv4 == f.IPv6 {
		return Yes
	}
	addr := s.Local.Addr()
	if !addr.IsValid() {
		addr = s.Remote.Addr()
	}
	if !addr.IsValid() {
		return Undecided
	}
	return verdict(addr.Unmap().Is4() == f.IPv4)
}

func (f *Filter) matchPorts(s *Subject) Verdict {
	local, remote := s.Local.Port(), s.Remote.Port()
	return min(
		side(f.LocalPorts, local),
		verdict(len(f.RemotePorts) == 0 || slices.Contains(f.RemotePorts, remote)),
		either(f.Ports, local, remote),
	)
}

// side judges the local port, which a connecting socket gets late.
func side(ports []uint16, local uint16) Verdict {
	switch {
	case len(ports) == 0, local != 0 && slices.Contains(ports, local):
		return Yes
	case local == 0:
		return Undecided
	}
	return No
}

func either(ports []uint16, local, remote uint16) Verdict {
	if remote != 0 && slices.Contains(ports, remote) {
		return Yes
	}
	return side(ports, local)
}

func (f *Filter) matchNets(s *Subject) Verdict {
	if len(f.Nets) == 0 {
		return Yes
	}
	for _, addr := range [...]netip.Addr{s.Local.Addr(), s.Remote.Addr()} {
		addr = addr.Unmap()
		for _, net := range f.Nets {
			if net.Contains(addr) {
				return Yes
			}
		}
	}
	if !s.Local.IsValid() {
		return Undecided
	}
	return No
}

func (f *Filter) matchProcess(s *Subject) Verdict {
	if !f.ByProcess() {
		return Yes
	}
	if f.selects(s.Owner) || f.selects(s.Closer) {
		return Yes
	}
	if s.Owner == nil || !s.Owner.Known() {
		return Undecided
	}
	return No
}

// selects reports whether the process t is wanted by all of its number, its
// name, its container and its cgroup.
func (f *Filter) selects(t *event.Task) bool {
	if t == nil || !t.Known() {
		return false
	}
	return (len(f.PIDs) == 0 || slices.Contains(f.PIDs, t.PID)) &&
		(len(f.Comms) == 0 || f.selectsComm(&t.Comm)) &&
		(!f.ByLabel() || t.Label != nil && f.selectsLabel(t.Label))
}

func (f *Filter) selectsComm(comm *[16]byte) bool {
	name, _, _ := bytes.Cut(comm[:], []byte{0})
	for _, want := range f.Comms {
		if string(name) == want {
			return true
		}
	}
	return false
}

func (f *Filter) selectsLabel(l *event.Label) bool {
	return (len(f.Containers) == 0 || f.selectsContainer(l.Container)) &&
		(len(f.Cgroups) == 0 || f.selectsCgroup(l.Cgroup))
}

func (f *Filter) selectsContainer(id string) bool {
	for _, want := range f.Containers {
		if strings.HasPrefix(id, want) {
			return true
		}
	}
	return false
}

func (f *Filter) selectsCgroup(path string) bool {
	for _, want := range f.Cgroups {
		if within(path, want) {
			return true
		}
	}
	return false
}

// within reports whether a cgroup is want, or below it. Where want does not
// begin with a slash, it may begin at any level: "nginx.service".
func within(path, want string) bool {
	if want[0] == '/' {
		rest, ok := strings.CutPrefix(path, want)
		return ok && (rest == "" || rest[0] == '/' || want == "/")
	}
	for rest := path; ; {
		at := strings.Index(rest, want)
		if at < 0 {
			return false
		}
		end := at + len(want)
		if at > 0 && rest[at-1] == '/' && (end == len(rest) || rest[end] == '/') {
			return true
		}
		rest = rest[at+1:]
	}
}

func verdict(holds bool) Verdict {
	if holds {
		return Yes
	}
	return No
}

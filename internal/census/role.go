package census

import (
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A place is where listeners are looked for.
type place struct {
	netns uint32
	port  uint16
}

// Infer gives each socket its role, and to those that no process can hold yet
// the process that listens for them. It is to be called before Select, as it
// needs all sockets.
func (c *Census) Infer() {
	listeners := map[place][]*Socket{}
	for i := range c.Sockets {
		if s := &c.Sockets[i]; s.State == tcp.Listen {
			at := place{s.ID.NetNS, s.Local.Port()}
			listeners[at] = append(listeners[at], s)
		}
	}
	for i := range c.Sockets {
		s := &c.Sockets[i]
		s.infer(listeners[place{s.ID.NetNS, s.Local.Port()}])
	}
}

func (s *Socket) infer(listeners []*Socket) {
	switch {
	case s.State == tcp.Listen:
		s.Role = conn.Server
	case s.State == tcp.SynSent:
		s.Role = conn.Client
	case s.Object == Request || s.Unaccepted:
		s.Role = conn.Server
		s.listenedFor(listeners)
	default:
		s.Role, s.Inferred = conn.Client, true
		for _, l := range listeners {
			if serves(l.Local.Addr(), s.Local.Addr()) > 0 {
				s.Role = conn.Server
				return
			}
		}
	}
}

// listenedFor makes the holder of s's listener its owner, if only one of
// listeners can be it: of a SO_REUSEPORT group, any.
func (s *Socket) listenedFor(listeners []*Socket) {
	var best *Socket
	rank, equals := 0, 0
	for _, l := range listeners {
		switch r := serves(l.Local.Addr(), s.Local.Addr()); {
		case r > rank:
			best, rank, equals = l, r, 1
		case r == rank:
			equals++
		}
	}
	if best != nil && equals == 1 && best.Owner.Known() && !s.Owner.Known() {
		s.Owner, s.FD, s.Via = best.Owner, best.FD, conn.ViaListen
	}
}

// serves ranks how well a listener's address fits a socket's, as the kernel
// chooses between listeners (compute_score in net/ipv4/inet_hashtables.c); 0 is
// not at all.
func serves(listener, local netip.Addr) int {
	switch {
	case listener == local:
		return 3
	case !listener.IsUnspecified():
		return 0
	case listener.Is4() == local.Is4():
		return 2
	case listener.Is6(): // it takes IPv4 too, unless IPV6_V6ONLY is set
		return 1
	}
	return 0
}

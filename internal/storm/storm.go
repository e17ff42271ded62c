// Package storm groups what is sent again by whom it may be laid to: one peer,
// its network, a process, a device, or all of the host. It is pure: changes of
// connections in, figures out; the time of the changes is its only clock.
package storm

import (
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// Window is the time that Group.Recent and Group.Peak speak of, to a second.
const Window = seconds * time.Second

const seconds = 10

// A Scope says what the connections of a Group have in common.
type Scope uint8

const (
	Host    Scope = iota // nothing but the host
	Device               // the device that their packets leave by
	Process              // the process that they belong to
	Network              // the peer's network: /24 of IPv4, /64 of IPv6
	Peer                 // the peer's address

	numScopes
)

var scopeNames = [numScopes]string{Host: "host", Device: "device", Process: "process", Network: "network", Peer: "peer"}

// String returns the scope in lower case.
func (s Scope) String() string { return scopeNames[s] }

// Options bound what a Storm keeps. The zero Options are good for any host.
type Options struct {
	// MaxGroups bounds the groups of each scope; 0 means 4,096. Above it those
	// make room of which nothing was sent again in the Window.
	MaxGroups int

	// MaxConnections bounds the connections that are told apart; 0 means 65,536.
	MaxConnections int

	// Device, if set, says by which device packets from local leave in the
	// namespace, or "" where it does not know.
	Device func(netns uint32, local netip.Addr) string
}

// A Group is what was sent again by connections that have something in common.
type Group struct {
	Scope   Scope
	Peer    netip.Addr   // of Peer
	Network netip.Prefix // of Network
	Process event.Task   // of Process
	Device  string       // of Device

	First, Last event.Time // the first and the last segment sent again

	Segments    uint64 // sent again since First, as the kernel's RetransSegs counts
	Classes     [conn.NumClasses]uint64
	Recent      uint64 // of these, in the Window until now
	Peak        uint64 // the most within one Window
	Connections int    // that sent something again

	// SharePercent is how much of all that the host sent again these are.
	SharePercent float64

	// Sent are the segments sent by those of the connections that ended since
	// First, and Resent those of them that were sent again: what the loss is to
	// the traffic. A connection tells how much it sent only at its end.
	Sent, Resent uint64

	Episodes int // of loss that are over
	LostData int // of these, those in which data was lost
	LostACKs int // in which nothing sent again was needed
	LostBoth int
	TimeLost time.Duration // by the episodes, together, at least
}

// A key names a group in its scope.
type key struct {
	scope   Scope
	network netip.Prefix // of Network and, as long as its address, of Peer
	pid     uint32
	device  string
}

type group struct {
	Group
	buckets [seconds]uint64
	second  int64 // that the newest bucket is of
}

// A Storm adds up. It is not safe for concurrent use.
type Storm struct {
	options Options
	groups  map[key]*group
	counts  [numScopes]int
	conns   map[event.ID]scopes // which groups have counted the connection

	// Left counts groups and connections for which there was no room.
	Left uint64

	keys [numScopes]key
}

// scopes is a set of them.
type scopes uint8

// New returns a Storm of which nothing is known.
func New(options Options) *Storm {
	if options.MaxGroups <= 0 {
		options.MaxGroups = 4096
	}
	if options.MaxConnections <= 0 {
		options.MaxConnections = 1 << 16
	}
	return &Storm{options: options, groups: map[key]*group{}, conns: map[event.ID]scopes{}}
}

// Add takes in one change. It allocates nothing for a connection and groups that
// it has met before.
func (s *Storm) Add(c *conn.Change) {
	switch c.Kind {
	case conn.Retransmitted:
		if c.Segments > 0 {
			s.resent(c)
		}
	case conn.Crowd:
		s.crowd(c)
	case conn.Episode:
		for _, k := range s.keysOf(c.Conn) {
			if g := s.groups[k]; g != nil {
				g.episode(c)
			}
		}
	case conn.Ended:
		s.ended(c)
	}
}

func (s *Storm) resent(c *conn.Change) {
	counted, known := s.conns[c.Conn.ID]
	room := known || len(s.conns) < s.options.MaxConnections
	if !room {
		s.Left++
	}
	before := counted
	for _, k := range s.keysOf(c.Conn) {
		g := s.group(k, c)
		if g == nil {
			s.Left++
			continue
		}
		g.add(c.Time, c.Class, c.Segments)
		if bit := scopes(1) << k.scope; room && counted&bit == 0 {
			counted |= bit
			g.Connections++
		}
	}
	if counted != before && c.Conn.Closed == 0 {
		s.conns[c.Conn.ID] = counted
	}
}

// crowd counts for the host what no connection can be named for.
func (s *Storm) crowd(c *conn.Change) {
	if c.Event.Kind != event.RetransmitMore || c.Segments == 0 {
		return
	}
	if g := s.group(key{scope: Host}, c); g != nil {
		for class, n := range c.Event.Suppressed.ByClass {
			g.add(c.Time, conn.Class(class), n)
		}
	}
}

func (s *Storm) ended(c *conn.Change) {
	delete(s.conns, c.Conn.ID)
	if !c.Conn.HasCounters {
		return
	}
	for _, k := range s.keysOf(c.Conn) {
		if g := s.groups[k]; g != nil {
			g.Sent += uint64(c.Conn.Counters.SegsOut)
			g.Resent += c.Conn.Resent()
		}
	}
}

// keysOf returns the groups that c belongs to, as far as known, the widest
// first. They are good until the next call.
func (s *Storm) keysOf(c *conn.Connection) []key {
	keys := append(s.keys[:0], key{scope: Host})
	if s.options.Device != nil && c.Local.IsValid() {
		if name := s.options.Device(c.ID.NetNS, c.Local.Addr().Unmap()); name != "" {
			keys = append(keys, key{scope: Device, device: name})
		}
	}
	if c.Owner.Known() {
		keys = append(keys, key{scope: Process, pid: c.Owner.Task.PID})
	}
	if addr := c.Remote.Addr().Unmap().WithZone(""); addr.IsValid() {
		keys = append(keys,
			key{scope: Network, network: NetworkOf(addr)},
			key{scope: Peer, network: netip.PrefixFrom(addr, addr.BitLen())})
	}
	return keys
}

// NetworkOf returns the network that an address is taken to be in: /24 of IPv4,
// /64 of IPv6.
func NetworkOf(addr netip.Addr) netip.Prefix {
	bits := 64
	if addr.Is4() {
		bits = 24
	}
	p, _ := addr.Prefix(bits) // no error: the length fits
	return p
}

// group returns the group k, which is made where there is none and room is.
func (s *Storm) group(k key, c *conn.Change) *group {
	if g := s.groups[k]; g != nil {
		return g
	}
	if s.counts[k.scope] >= s.options.MaxGroups && !s.makeRoom(k.scope, c.Time) {
		return nil
	}
	g := &group{Group: Group{Scope: k.scope, Network: k.network, Device: k.device, First: c.Time}}
	switch k.scope {
	case Peer:
		g.Peer, g.Network = k.network.Addr(), netip.Prefix{}
	case Process:
		g.Process = c.Conn.Owner.Task
	}
	s.groups[k] = g
	s.counts[k.scope]++
	return g
}

// makeRoom drops the groups of a scope of which nothing was sent again lately.
func (s *Storm) makeRoom(scope Scope, now event.Time) bool {
	for k, g := range s.groups {
		if k.scope == scope && g.Last.Add(Window) < now {
			delete(s.groups, k)
			s.counts[scope]--
		}
	}
	return s.counts[scope] < s.options.MaxGroups
}

// Package storm groups what is sent again by whom it may be laid to: one peer,
// its network, a process, a device, or all of the host. It is pure: changes of
// connections in, figures out; the time of the changes is its only clock.
//
// It is about data and FINs. What a handshake sends again tells that nobody
// answers, which is another matter, and is not counted.
package storm

import (
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/drop"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Window is the time that Group.Recent and Group.Peak speak of, to a second.
const Window = seconds * time.Second

const seconds = 10

// A Scope says what the connections of a Group have in common.
type Scope uint8

const (
	Host    Scope = iota // nothing but the host
	Device               // the device that has their local address
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

	// Device, if set, says which device has the address local in the
	// namespace, or "" where it does not know.
	Device func(netns uint32, local netip.Addr) string

	// Owner, if set, says whose a connection is; else Connection.Owner does.
	Owner func(*conn.Connection) event.Task
}

// A Group is what was sent again by connections that have something in common,
// until nothing was for a Window: what comes then makes another Group. Its
// figures are those of the last call of Add; those of a window, of the last call
// of Narrowest or Look.
type Group struct {
	Scope   Scope
	Peer    netip.Addr   // of Peer
	Network netip.Prefix // of Network
	Process event.Task   // of Process
	Device  string       // of Device, in NetNS
	NetNS   uint32       // of Device, and of loopback's Peer or Network, of which each namespace has its own

	First, Last event.Time // the first and the last segment sent again

	Segments    uint64 // sent again since First, as the kernel's RetransSegs counts
	Classes     [conn.NumClasses]uint64
	Recent      uint64 // of these, in the Window
	Peak        uint64 // the most within one Window
	Connections int    // that sent something again
	Conns       []event.ID
	Sample      Origin // the first of them

	// Unnamed counts, of the Host's Segments, those that no connection can be
	// named for: there were too many at once.
	Unnamed uint64

	// Share is the percentage of what the host sent again in the Window, and a
	// connection is named for, that this is; 0 where most has none.
	Share uint64

	// Sent are the segments that connections sent within the Window, as far as
	// that is known: a connection tells it only at its end, and of one that
	// lived for longer than the Window the average is taken.
	Sent uint64

	Episodes int // of loss that are over
	LostData int // of these, those in which data was lost
	LostACKs int // in which nothing sent again was needed
	LostBoth int
	TimeLost time.Duration // by the episodes, together, at least

	// Drops are packets of these connections that this host itself dropped.
	Drops drop.Tally
}

// An Origin is the end of a connection that packets are counted for, as far as
// it is known.
type Origin struct {
	NetNS         uint32
	Local, Remote netip.AddrPort
	Process       event.Task
}

// A key names a group in its scope.
type key struct {
	scope   Scope
	netns   uint32
	network netip.Prefix // of Network and, as long as its address, of Peer
	pid     uint32
	device  string
}

type group struct {
	Group
	resent, sent, unnamed window
	processes             shares
}

// A Storm adds up. It is not safe for concurrent use.
type Storm struct {
	options Options
	host    *group
	groups  map[key]*group
	counts  [numScopes]int
	tidied  [numScopes]event.Time // when makeRoom last looked
	swept   event.Time            // when tidy last did
	conns   map[event.ID]known

	// Left counts groups and connections for which there was no room.
	Left uint64

	keys [numScopes]key
}

// A known connection has been counted by groups of these scopes, if they are not
// younger than what it sent again last.
type known struct {
	scopes uint8 // a set
	last   event.Time
}

// New returns a Storm of which nothing is known.
func New(options Options) *Storm {
	if options.MaxGroups <= 0 {
		options.MaxGroups = 4096
	}
	if options.MaxConnections <= 0 {
		options.MaxConnections = 1 << 16
	}
	if options.Owner == nil {
		options.Owner = func(c *conn.Connection) event.Task { return c.Owner.Task }
	}
	s := &Storm{options: options, groups: map[key]*group{}, conns: map[event.ID]known{}}
	s.host = s.group(key{scope: Host}, &Origin{}, 0)
	return s
}

// Add takes in one change. It allocates nothing for a connection and groups that
// it has met before.
func (s *Storm) Add(c *conn.Change) {
	switch c.Kind {
	case conn.Retransmitted:
		if c.Segments > 0 && counted(c.Class) {
			s.resent(c)
		}
	case conn.Crowd:
		s.crowd(c)
	case conn.Episode:
		o := s.origin(c.Conn)
		for _, k := range s.keysOf(&o) {
			if g := s.groups[k]; g != nil {
				g.episode(c)
			}
		}
	case conn.Ended:
		s.ended(c)
	}
}

// counted reports whether what is sent again so is data or a FIN.
func counted(c conn.Class) bool { return c != conn.ClassSYN && c != conn.ClassSYNACK }

// Drop takes in n packets that the host itself dropped, in namespace netns: of
// data or a FIN that o sent, or, if own is not set, of an ACK that was sent to o.
func (s *Storm) Drop(o Origin, at event.Time, reason string, netns uint32, own bool, n uint64) {
	for _, k := range s.keysOf(&o) {
		if g := s.group(k, &o, at); g != nil {
			g.Last = max(g.Last, at)
			g.Drops.Add(reason, netns, own, n)
		}
	}
}

func (s *Storm) origin(c *conn.Connection) Origin {
	return Origin{NetNS: c.ID.NetNS, Local: c.Local, Remote: c.Remote, Process: s.options.Owner(c)}
}

func (s *Storm) resent(c *conn.Change) {
	met, ok := s.conns[c.Conn.ID]
	room := ok || len(s.conns) < s.options.MaxConnections
	if !room {
		s.Left++
	}
	o := s.origin(c.Conn)
	for _, k := range s.keysOf(&o) {
		g := s.group(k, &o, c.Time)
		if g == nil {
			s.Left++
			continue
		}
		bit, fresh := uint8(1)<<k.scope, g.First == 0
		g.add(c.Time, c.Class, c.Segments)
		g.processes.add(&o.Process, c.Segments)
		if room && (fresh || met.scopes&bit == 0 || met.last < g.First) {
			met.scopes |= bit
			g.meet(c.Conn.ID, &o)
		}
	}
	if room && c.Conn.Closed == 0 {
		met.last = max(met.last, c.Time)
		s.conns[c.Conn.ID] = met
	}
}

// crowd counts for the host what no connection can be named for.
func (s *Storm) crowd(c *conn.Change) {
	if c.Event.Kind != event.RetransmitMore {
		return
	}
	for class, n := range c.Event.Suppressed.ByClass {
		if n > 0 && counted(conn.Class(class)) {
			s.host.add(c.Time, conn.Class(class), n)
			s.host.Unnamed += uint64(n)
			s.host.unnamed.add(c.Time, uint64(n))
		}
	}
}

func (s *Storm) ended(c *conn.Change) {
	delete(s.conns, c.Conn.ID)
	if !c.Conn.HasCounters || !c.Conn.OpenedKnown {
		return
	}
	sent, lived := uint64(c.Conn.Counters.SegsOut), spoke(c.Conn)
	if lived > Window {
		sent = uint64(float64(sent) * float64(Window) / float64(lived))
	}
	if sent < muchSent && len(s.groups) == 1 { // that of the host
		s.host.sent.add(c.Time, sent)
		return
	}
	o := s.origin(c.Conn)
	for _, k := range s.keysOf(&o) {
		g := s.groups[k]
		if g == nil && sent >= muchSent { // what is sent again of it soon is little then
			g = s.group(k, &o, c.Time)
		}
		if g != nil {
			g.sent.add(c.Time, sent)
		}
	}
}

// muchSent is how much one connection has sent for which groups are made that
// have sent nothing again yet.
const muchSent = 1000

// spoke returns for how long c could send, which ends with TIME_WAIT.
func spoke(c *conn.Connection) time.Duration {
	end := c.Closed
	if n := len(c.Spans); n > 0 && c.Spans[n-1].State == tcp.TimeWait {
		end = c.Spans[n-1].Begin
	}
	return end.Sub(c.Opened)
}

// keysOf returns the groups that o belongs to, as far as known, the widest
// first. They are good until the next call.
func (s *Storm) keysOf(o *Origin) []key {
	keys := append(s.keys[:0], key{scope: Host})
	if s.options.Device != nil && o.Local.IsValid() {
		if name := s.options.Device(o.NetNS, o.Local.Addr().Unmap()); name != "" {
			keys = append(keys, key{scope: Device, netns: o.NetNS, device: name})
		}
	}
	if o.Process.Known() {
		keys = append(keys, key{scope: Process, pid: o.Process.PID})
	}
	if addr := o.Remote.Addr().Unmap().WithZone(""); addr.IsValid() {
		var netns uint32
		if addr.IsLoopback() {
			netns = o.NetNS
		}
		keys = append(keys,
			key{scope: Network, netns: netns, network: NetworkOf(addr)},
			key{scope: Peer, netns: netns, network: netip.PrefixFrom(addr, addr.BitLen())})
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
func (s *Storm) group(k key, o *Origin, now event.Time) *group {
	if g := s.groups[k]; g != nil {
		return g
	}
	if s.counts[k.scope] >= s.options.MaxGroups && !s.makeRoom(k.scope, now) {
		return nil
	}
	g := &group{Group: Group{Scope: k.scope, NetNS: k.netns, Network: k.network, Device: k.device}}
	switch k.scope {
	case Peer:
		g.Peer, g.Network = k.network.Addr(), netip.Prefix{}
	case Process:
		g.Process = o.Process
	}
	s.groups[k] = g
	s.counts[k.scope]++
	return g
}

// tidy drops, once a Window, all groups of which nothing was sent again in one.
func (s *Storm) tidy(now event.Time) {
	if now.Sub(s.swept) < Window {
		return
	}
	s.swept = now
	for scope := range numScopes {
		s.drop(scope, now)
	}
	if s.groups[key{scope: Host}] == nil {
		s.host = s.group(key{scope: Host}, &Origin{}, now)
	}
}

// drop drops those of a scope, unless they have sent much.
func (s *Storm) drop(scope Scope, now event.Time) {
	for k, g := range s.groups {
		if k.scope == scope && g.Last.Add(Window) < now && g.sent.until(now) < muchSent {
			delete(s.groups, k)
			s.counts[scope]--
		}
	}
}

// makeRoom drops the groups of a scope of which nothing was sent again lately. It
// looks for them once a second.
func (s *Storm) makeRoom(scope Scope, now event.Time) bool {
	if t := s.tidied[scope]; t != 0 && now.Sub(t) < time.Second {
		return false
	}
	s.tidied[scope] = now
	s.drop(scope, now)
	return s.counts[scope] < s.options.MaxGroups
}

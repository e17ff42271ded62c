package storm

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

const sec = event.Time(time.Second)

func connection(cookie uint64, remote string, pid uint32) *conn.Connection {
	c := &conn.Connection{ID: event.ID{NetNS: 1, Cookie: cookie}, Local: netip.MustParseAddrPort("10.9.0.1:4000"), Remote: netip.MustParseAddrPort(remote)}
	c.Owner.Task.PID = pid
	return c
}

// again has c send n segments again.
func again(s *Storm, c *conn.Connection, at event.Time, n uint32, class conn.Class) {
	c.Retransmits[class] += n
	s.Add(&conn.Change{Kind: conn.Retransmitted, Time: at, Conn: c, Class: class, Segments: n})
}

func lose(s *Storm, c *conn.Connection, at event.Time, cost time.Duration, what conn.LostWhat) {
	e := &conn.LossEpisode{Begin: at - event.Time(cost), Last: at - event.Time(cost), End: at, EndKnown: true, Outcome: conn.OutcomeRecovered, Lost: what}
	s.Add(&conn.Change{Kind: conn.Episode, Time: at, Conn: c, Episode: e})
}

// spell prints a group: its name, the segments (of which recent), connections
// and share.
func spell(g Group) string {
	name := ""
	switch g.Scope {
	case Peer:
		name = g.Peer.String()
	case Network:
		name = g.Network.String()
	case Process:
		name = fmt.Sprint(g.Process.PID)
	case Device:
		name = g.Device
	}
	return strings.TrimSpace(fmt.Sprintf("%v %s", g.Scope, name)) + fmt.Sprintf(": %d/%d of %d, %.0f%%", g.Segments, g.Recent, g.Connections, g.SharePercent)
}

func expect(t *testing.T, groups []Group, want ...string) {
	t.Helper()
	var got []string
	for _, g := range groups {
		got = append(got, spell(g))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}

func TestStorm_GroupsByAllScopes(t *testing.T) {
	s := New(Options{Device: func(_ uint32, local netip.Addr) string { return "eth" + local.String()[len("10.9.0."):] }})
	a, b, c := connection(1, "[::ffff:192.0.2.7]:443", 10), connection(2, "192.0.2.9:443", 10), connection(3, "[2001:db8::1]:443", 11)
	again(s, a, 1*sec, 2, conn.ClassFast)
	again(s, a, 2*sec, 1, conn.ClassRTO)
	again(s, b, 2*sec, 4, conn.ClassRTO)
	again(s, c, 3*sec, 1, conn.ClassTLP)
	expect(t, s.Groups(4*sec),
		"host: 8/8 of 3, 100%",
		"device eth1: 8/8 of 3, 100%",
		"process 10: 7/7 of 2, 88%",
		"process 11: 1/1 of 1, 12%",
		"network 192.0.2.0/24: 7/7 of 2, 88%",
		"network 2001:db8::/64: 1/1 of 1, 12%",
		"peer 192.0.2.9: 4/4 of 1, 50%",
		"peer 192.0.2.7: 3/3 of 1, 38%",
		"peer 2001:db8::1: 1/1 of 1, 12%",
	)
	if g, ok := Narrowest(s.Groups(4*sec), 70); !ok || spell(g) != "network 192.0.2.0/24: 7/7 of 2, 88%" {
		t.Errorf("the narrowest is %s", spell(g))
	}
	if g := s.Groups(4 * sec)[0]; g.Classes != [conn.NumClasses]uint64{conn.ClassFast: 2, conn.ClassRTO: 5, conn.ClassTLP: 1} || g.First != 1*sec || g.Last != 3*sec {
		t.Errorf("classes %v from %d to %d", g.Classes, g.First, g.Last)
	}
	if _, ok := Narrowest(nil, 70); ok {
		t.Error("the narrowest of nothing")
	}
}

func TestStorm_WindowMovesOn(t *testing.T) {
	s := New(Options{})
	a := connection(1, "192.0.2.7:443", 0)
	again(s, a, 1*sec, 5, conn.ClassRTO)
	again(s, a, 8*sec, 7, conn.ClassRTO)
	again(s, a, 7*sec, 1, conn.ClassRTO) // late
	if g := s.Groups(10 * sec)[0]; g.Recent != 13 || g.Peak != 13 {
		t.Errorf("recent %d, peak %d; want 13 and 13", g.Recent, g.Peak)
	}
	if g := s.Groups(12 * sec)[0]; g.Recent != 8 || g.Peak != 13 || g.Segments != 13 {
		t.Errorf("recent %d, peak %d of %d; want 8 and 13 of 13", g.Recent, g.Peak, g.Segments)
	}
	expect(t, s.Groups(18*sec))
	again(s, a, 40*sec, 2, conn.ClassRTO)
	expect(t, s.Groups(40*sec), "host: 15/2 of 1, 100%", "network 192.0.2.0/24: 15/2 of 1, 100%", "peer 192.0.2.7: 15/2 of 1, 100%")
}

// What was lost, and what it is to the traffic.
func TestStorm_EpisodesAndTraffic(t *testing.T) {
	s := New(Options{})
	a, quiet := connection(1, "192.0.2.7:443", 0), connection(2, "192.0.2.7:443", 0)
	again(s, a, 1*sec, 5, conn.ClassRTO)
	lose(s, a, 2*sec, 200*time.Millisecond, conn.LostData)
	lose(s, a, 3*sec, 100*time.Millisecond, conn.LostACKs)
	lose(s, a, 4*sec, 100*time.Millisecond, conn.LostBoth)
	lose(s, a, 5*sec, 100*time.Millisecond, conn.LostUnknown)
	for _, c := range []*conn.Connection{a, quiet} {
		c.HasCounters, c.Counters.SegsOut, c.Closed = true, 100, 6*sec
		s.Add(&conn.Change{Kind: conn.Ended, Time: 6 * sec, Conn: c})
	}
	g := s.Groups(6 * sec)[2]
	if g.Episodes != 4 || g.LostData != 1 || g.LostACKs != 1 || g.LostBoth != 1 || g.TimeLost != 500*time.Millisecond || g.Sent != 200 || g.Resent != 5 {
		t.Errorf("%+v", g)
	}
}

// Memory is bounded, and what finds no room is counted.
func TestStorm_Bounded(t *testing.T) {
	s := New(Options{MaxGroups: 3, MaxConnections: 2})
	for i := range 5 {
		again(s, connection(uint64(i+1), fmt.Sprintf("192.0.%d.1:443", i), 0), sec, 1, conn.ClassRTO)
	}
	if len(s.groups) != 7 || len(s.conns) != 2 || s.Left != 3+2*2 {
		t.Errorf("%d groups, %d connections, %d left out", len(s.groups), len(s.conns), s.Left)
	}
	again(s, connection(9, "198.51.100.1:443", 0), 60*sec, 1, conn.ClassRTO) // the others are long quiet
	if g := s.Groups(60 * sec); len(g) != 3 || g[0].Segments != 6 {
		t.Errorf("%+v", g)
	}
}

func TestStorm_AllocatesNothingForWhatItKnows(t *testing.T) {
	s := New(Options{})
	c := connection(1, "192.0.2.7:443", 10)
	change := conn.Change{Kind: conn.Retransmitted, Time: sec, Conn: c, Class: conn.ClassRTO, Segments: 1}
	s.Add(&change)
	if allocs := testing.AllocsPerRun(100, func() { change.Time += 1000; s.Add(&change) }); allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}

// What no connection can be named for is the host's.
func TestStorm_OfTooManyConnections(t *testing.T) {
	s := New(Options{})
	again(s, connection(1, "192.0.2.7:443", 0), sec, 1, conn.ClassRTO)
	more := &event.Event{Kind: event.RetransmitMore, Time: 2 * sec}
	more.Suppressed.ByClass[conn.ClassRTO], more.Suppressed.ByClass[conn.ClassFast] = 5, 4
	s.Add(&conn.Change{Kind: conn.Crowd, Time: 2 * sec, Event: more, Segments: 9})
	s.Add(&conn.Change{Kind: conn.Crowd, Time: 2 * sec, Event: &event.Event{Kind: event.ResetMore, Count: 3}})
	expect(t, s.Groups(2*sec), "host: 10/10 of 1, 100%", "network 192.0.2.0/24: 1/1 of 1, 10%", "peer 192.0.2.7: 1/1 of 1, 10%")
	if g := s.Groups(2 * sec)[0]; g.Classes != [conn.NumClasses]uint64{conn.ClassRTO: 6, conn.ClassFast: 4} {
		t.Errorf("classes %v", g.Classes)
	}
}

package storm

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
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
func spell(g *Group) string {
	if g == nil {
		return "none"
	}
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
	return strings.TrimSpace(fmt.Sprintf("%v %s", g.Scope, name)) + fmt.Sprintf(": %d/%d of %d, %d%%", g.Segments, g.Recent, g.Connections, g.Share)
}

// groups spells those of which something was sent again in the window, the
// widest first.
func groups(s *Storm, now event.Time) (all []string) {
	var found []*Group
	for _, g := range s.groups {
		if s.Look(&g.Group, now).Recent > 0 {
			found = append(found, &g.Group)
		}
	}
	slices.SortFunc(found, func(a, b *Group) int {
		return cmp.Or(int(a.Scope)-int(b.Scope), int(b.Segments)-int(a.Segments), strings.Compare(spell(a), spell(b)))
	})
	for _, g := range found {
		all = append(all, spell(g))
	}
	return all
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}

func expectNarrowest(t *testing.T, s *Storm, now event.Time, want string) {
	t.Helper()
	if got := spell(s.Narrowest(now, 70)); got != want {
		t.Errorf("the narrowest is %s, want %s", got, want)
	}
}

func TestStorm_GroupsByAllScopes(t *testing.T) {
	s := New(Options{Device: func(_ uint32, local netip.Addr) string { return "eth" + local.String()[len("10.9.0."):] }})
	expectNarrowest(t, s, 1*sec, "none")
	a, b, c := connection(1, "[::ffff:192.0.2.7]:443", 10), connection(2, "192.0.2.9:443", 10), connection(3, "[2001:db8::1]:443", 11)
	again(s, a, 1*sec, 2, conn.ClassFast)
	again(s, a, 2*sec, 1, conn.ClassRTO)
	again(s, b, 2*sec, 4, conn.ClassRTO)
	again(s, b, 2*sec, 9, conn.ClassSYN) // is another matter
	again(s, c, 3*sec, 1, conn.ClassTLP)
	expect(t, groups(s, 4*sec),
		"host: 8/8 of 3, 100%",
		"device eth1: 8/8 of 3, 100%",
		"process 10: 7/7 of 2, 87%",
		"process 11: 1/1 of 1, 12%",
		"network 192.0.2.0/24: 7/7 of 2, 87%",
		"network 2001:db8::/64: 1/1 of 1, 12%",
		"peer 192.0.2.9: 4/4 of 1, 50%",
		"peer 192.0.2.7: 3/3 of 1, 37%",
		"peer 2001:db8::1: 1/1 of 1, 12%",
	)
	expectNarrowest(t, s, 4*sec, "network 192.0.2.0/24: 7/7 of 2, 87%")
	g := s.Narrowest(4*sec, 90)
	if spell(g) != "device eth1: 8/8 of 3, 100%" || g.Classes != [conn.NumClasses]uint64{conn.ClassFast: 2, conn.ClassRTO: 5, conn.ClassTLP: 1} ||
		g.First != 1*sec || g.Last != 3*sec || len(g.Conns) != 3 {
		t.Errorf("%s: classes %v from %d to %d, %d connections named", spell(g), g.Classes, g.First, g.Last, len(g.Conns))
	}
	if p := s.Owner(g, 70); p.PID != 10 {
		t.Errorf("it is of process %d, want 10", p.PID)
	}
	if p := s.Owner(g, 90); p.Known() {
		t.Errorf("it is of process %d, want none", p.PID)
	}
}

// Each namespace has its own loopback, and its own devices.
func TestStorm_Namespaces(t *testing.T) {
	s := New(Options{Device: func(uint32, netip.Addr) string { return "eth0" }})
	for i := range uint32(2) {
		c := connection(uint64(i+1), "127.0.0.1:443", 0)
		c.ID.NetNS = i + 1
		again(s, c, sec, 1, conn.ClassRTO)
	}
	expect(t, groups(s, sec),
		"host: 2/2 of 2, 100%",
		"device eth0: 1/1 of 1, 50%", "device eth0: 1/1 of 1, 50%",
		"network 127.0.0.0/24: 1/1 of 1, 50%", "network 127.0.0.0/24: 1/1 of 1, 50%",
		"peer 127.0.0.1: 1/1 of 1, 50%", "peer 127.0.0.1: 1/1 of 1, 50%")
}

func TestStorm_WindowMovesOn(t *testing.T) {
	s := New(Options{})
	a := connection(1, "192.0.2.7:443", 0)
	again(s, a, 1*sec, 5, conn.ClassRTO)
	again(s, a, 8*sec, 7, conn.ClassRTO)
	again(s, a, 7*sec, 1, conn.ClassRTO) // late
	if g := s.Narrowest(10*sec, 70); g.Recent != 13 || g.Peak != 13 {
		t.Errorf("recent %d, peak %d; want 13 and 13", g.Recent, g.Peak)
	}
	if g := s.Narrowest(12*sec, 70); g.Recent != 8 || g.Peak != 13 || g.Segments != 13 {
		t.Errorf("recent %d, peak %d of %d; want 8 and 13 of 13", g.Recent, g.Peak, g.Segments)
	}
	before := s.Narrowest(12*sec, 70)
	expectNarrowest(t, s, 18*sec, "none")
	expectNarrowest(t, s, 30*sec, "none")
	again(s, a, 40*sec, 2, conn.ClassRTO) // another storm
	expect(t, groups(s, 40*sec), "host: 2/2 of 1, 100%", "network 192.0.2.0/24: 2/2 of 1, 100%", "peer 192.0.2.7: 2/2 of 1, 100%")
	if spell(s.Look(before, 40*sec)) != "peer 192.0.2.7: 13/0 of 1, 0%" {
		t.Errorf("the one before is %s", spell(before))
	}
}

// What was lost, and what it is to the traffic: of a connection that lived for
// long only what it sent in the window, on average.
func TestStorm_EpisodesAndTraffic(t *testing.T) {
	s := New(Options{})
	a := connection(1, "192.0.2.7:443", 0)
	again(s, a, 1*sec, 5, conn.ClassRTO)
	lose(s, a, 2*sec, 200*time.Millisecond, conn.LostData)
	lose(s, a, 3*sec, 100*time.Millisecond, conn.LostACKs)
	lose(s, a, 4*sec, 100*time.Millisecond, conn.LostBoth)
	lose(s, a, 5*sec, 100*time.Millisecond, conn.LostUnknown)
	for i, c := range []*conn.Connection{a, connection(2, "192.0.2.7:443", 0), connection(3, "192.0.2.7:443", 0), connection(4, "192.0.2.7:443", 0)} {
		c.HasCounters, c.Counters.SegsOut, c.OpenedKnown, c.Opened, c.Closed = true, 100, i != 3, 1*sec, 106*sec
		begin := [...]event.Time{6 * sec, 41 * sec, 7 * sec, 6 * sec}[i] // 5 s, 40 s, and 6 s after the begin
		c.Spans = []conn.Span{{State: tcp.Established, Begin: 1 * sec}, {State: tcp.TimeWait, Begin: begin}}
		s.Add(&conn.Change{Kind: conn.Ended, Time: 6 * sec, Conn: c})
	}
	g := s.Narrowest(6*sec, 70)
	if g.Episodes != 4 || g.LostData != 1 || g.LostACKs != 1 || g.LostBoth != 1 || g.TimeLost != 500*time.Millisecond {
		t.Errorf("%+v", g)
	}
	if g.Sent != 100+25+100 {
		t.Errorf("%d segments sent in the window, want 225", g.Sent)
	}
}

// What the host itself drops is counted for the same groups: from before
// anything was sent again.
func TestStorm_Drops(t *testing.T) {
	s := New(Options{})
	c := connection(1, "192.0.2.7:443", 10)
	from := Origin{NetNS: 1, Local: c.Local, Remote: c.Remote, Process: c.Owner.Task}
	s.Drop(from, 1*sec, "NETFILTER_DROP", 2, true, 1)
	s.Drop(from, 1*sec, "QDISC_DROP", 1, false, 1)
	expectNarrowest(t, s, 1*sec, "none")
	again(s, c, 2*sec, 1, conn.ClassRTO)
	s.Drop(from, 2*sec, "NETFILTER_DROP", 2, true, 1)
	g := s.Narrowest(2*sec, 70)
	if spell(g) != "peer 192.0.2.7: 1/1 of 1, 100%" || g.Drops.Own != 2 || g.Drops.Answers != 1 || g.First != 2*sec {
		t.Errorf("%s: %+v", spell(g), g.Drops)
	}
	if reason, netns, n := g.Drops.Top(); reason != "NETFILTER_DROP" || netns != 2 || n != 2 {
		t.Errorf("%s in %d, %d times", reason, netns, n)
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
	expect(t, groups(s, 60*sec), "host: 6/1 of 2, 100%", "network 198.51.100.0/24: 1/1 of 0, 100%", "peer 198.51.100.1: 1/1 of 0, 100%")
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

// What no connection can be named for is the host's: the others are judged
// among themselves, unless it is most of all.
func TestStorm_OfTooManyConnections(t *testing.T) {
	s := New(Options{})
	again(s, connection(1, "192.0.2.7:443", 0), sec, 10, conn.ClassRTO)
	more := &event.Event{Kind: event.RetransmitMore, Time: 2 * sec}
	more.Suppressed.ByClass[conn.ClassRTO], more.Suppressed.ByClass[conn.ClassFast], more.Suppressed.ByClass[conn.ClassSYNACK] = 5, 4, 7
	crowd := &conn.Change{Kind: conn.Crowd, Time: 2 * sec, Event: more, Segments: 16}
	s.Add(crowd)
	s.Add(&conn.Change{Kind: conn.Crowd, Time: 2 * sec, Event: &event.Event{Kind: event.ResetMore, Count: 3}})
	expect(t, groups(s, 2*sec), "host: 19/19 of 1, 100%", "network 192.0.2.0/24: 10/10 of 1, 100%", "peer 192.0.2.7: 10/10 of 1, 100%")
	expectNarrowest(t, s, 2*sec, "peer 192.0.2.7: 10/10 of 1, 100%")
	if g := &s.host.Group; g.Classes != [conn.NumClasses]uint64{conn.ClassRTO: 15, conn.ClassFast: 4} || g.Unnamed != 9 {
		t.Errorf("classes %v, %d unnamed", g.Classes, g.Unnamed)
	}
	s.Add(crowd)
	expectNarrowest(t, s, 2*sec, "host: 28/28 of 1, 100%")
}

package screen

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// states returns how many sockets the strip shows in each state, those that none
// is in left out.
func (h *host) states() map[tcp.State]int {
	h.look()
	all := map[tcp.State]int{}
	for _, c := range h.display.view.States {
		if c.Now != 0 {
			all[c.State] = c.Now
		}
	}
	return all
}

func (h *host) wantStates(want map[tcp.State]int) {
	h.t.Helper()
	if diff := cmp.Diff(want, h.states()); diff != "" {
		h.t.Errorf("states (-want +got):\n%s", diff)
	}
}

// What a sweep finds is counted before anything has happened.
func TestModel_CountsWhatWasThereBefore(t *testing.T) {
	h := newHost(t, 80, 24)
	h.at(1 * s)
	old := story.NewSocket(5, "10.0.0.1:40000", "10.9.8.7:443")
	over := story.NewSocket(7, "10.0.0.1:40001", "10.9.8.7:443")
	h.tell(
		story.NewSocket(6, "[::]:80", "").Seen(1*s, tcp.Listen), old.Seen(1*s, tcp.Established), over.Seen(1*s, tcp.CloseWait),
		old.Swept(900*ms, 1*s),
	)
	h.wantStates(map[tcp.State]int{tcp.Listen: 1, tcp.Established: 1, tcp.CloseWait: 1})
}

// Whole lives leave nothing behind, in no state and in no group.
func TestModel_ForgetsWhatHasEnded(t *testing.T) {
	for name, events := range map[string][]event.Event{
		"plain": story.Plain(), "refused": story.Refused(), "lossy": story.Lossy(), "killed": story.Killed(),
		"listener": story.Listener(), "handed on": story.HandedOn(), "healed": story.Healed(),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, 80, 24)
			h.tell(events)
			h.tracker.Advance(event.Time(100*s), h.model.Show)
			h.at(100 * s)
			h.wantStates(map[tcp.State]int{})
			for kind, x := range map[string]*groups{"processes": &h.model.processes, "peers": &h.model.peers, "listeners": &h.model.listeners} {
				for _, g := range x.byKey {
					if g.open != 0 || g.states != [tcp.NumStates]int32{} || !g.idle {
						t.Errorf("%s: %+v is not empty", kind, g.key)
					}
				}
			}
		})
	}
}

// A process's connections are counted as its own from when it is known.
func TestModel_Processes(t *testing.T) {
	h := busy(t, 80, 24)
	h.key("3")
	got := map[string][4]uint64{}
	for _, g := range h.display.view.Groups {
		got[processName(&g, 20)] = [4]uint64{uint64(g.Open), g.Opened, g.Resets, g.Resent}
	}
	want := map[string][4]uint64{
		"java/4194304": {11, 11, 0, 12}, "nginx/812": {6, 6, 0, 0}, "curl/4242": {1, 2, 1, 0}, `\x1b[2J\x1b]0;x~/66`: {1, 1, 0, 0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("open, opened, resets, resent (-want +got):\n%s", diff)
	}
}

// Another filter means other figures: those of what is open, and of the resets
// and retransmits that are still known.
func TestModel_SetFilter(t *testing.T) {
	h := busy(t, 80, 24)
	h.model.SetFilter(filter.Filter{Ports: []uint16{5432}})
	h.wantStates(map[tcp.State]int{tcp.Established: 3})
	h.key("6")
	if n := len(h.display.view.Troubles); n != 1 || h.display.view.Troubles[0].Count != 12 {
		t.Errorf("%d groups of retransmits: %+v", n, h.display.view.Troubles)
	}
	h.key("5")
	if n := len(h.display.view.Troubles); n != 0 {
		t.Errorf("%d groups of resets of another port", n)
	}
	late := story.NewSocket(0x999, "10.0.0.1:40500", "192.168.7.7:5432")
	other := story.NewSocket(0x99a, "10.0.0.1:40501", "192.168.7.7:5433")
	h.tell(late.Connect(51*s, ms, story.Task(1, "x")), other.Connect(51*s, ms, story.Task(1, "x")))
	h.wantStates(map[tcp.State]int{tcp.Established: 4})
	h.model.SetFilter(filter.Filter{})
	h.wantStates(map[tcp.State]int{tcp.Listen: 2, tcp.Established: 11, tcp.CloseWait: 7, tcp.TimeWait: 1})
}

// The most in a second is shown even if it lasted an instant.
func TestHistory_ShortStays(t *testing.T) {
	h := newHost(t, 80, 24)
	h.at(1 * s)
	x := story.NewSocket(1, "10.0.0.1:443", "10.9.9.1:61000")
	h.tell(x.Accept(1500*ms, 50*time.Microsecond))
	h.at(4 * s)
	h.look()
	for _, c := range h.display.view.States {
		if c.State == tcp.SynRecv {
			want := StateCount{State: tcp.SynRecv, Known: true, PerSecond: 0, Past: []int32{1, 0, 0}}
			if diff := cmp.Diff(want, c); diff != "" {
				t.Error(diff)
			}
		}
	}
}

// A half-open connection without a cookie, of which nothing is said yet, is the one
// that gets it later.
func TestEntries_CookieLater(t *testing.T) {
	h := newHost(t, 80, 24)
	x := story.NewSocket(9, "10.0.0.1:443", "10.9.9.1:61000")
	handshake := x.Accept(1*s, ms)
	handshake[0].ID.Cookie = 0
	h.tell(handshake[0])
	h.model.SetFilter(filter.Filter{}) // which finds it by itself
	h.wantStates(map[tcp.State]int{tcp.SynRecv: 1})
	h.tell(handshake[1:])
	h.wantStates(map[tcp.State]int{tcp.Established: 1})
	h.tell(x.State(2*s, tcp.Established, tcp.CloseWait), x.State(3*s, tcp.CloseWait, tcp.LastAck), x.State(4*s, tcp.LastAck, tcp.Close))
	h.tracker.Advance(event.Time(10*s), h.model.Show)
	h.wantStates(map[tcp.State]int{})
}

// flood has clients of so many addresses connect, be reset and end, one after
// the other.
func flood(handle func(*event.Event), from, lives int) {
	task := story.Task(812, "nginx")
	for i := from; i < from+lives; i++ {
		at := 10*s + time.Duration(i)*time.Millisecond
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		x := story.Socket{
			ID: event.ID{NetNS: story.HostNetNS, Cookie: uint64(i + 1)}, Local: netip.MustParseAddrPort("10.0.0.1:443"),
			Remote: netip.AddrPortFrom(addr, 40000),
		}
		task.PID = uint32(1 + i%10007)
		for _, ev := range story.Join(
			x.Accept(at, 20*time.Microsecond), x.Used(at+30*time.Microsecond, tcp.Established, task),
			x.ResetReceived(at+40*time.Microsecond, tcp.Established),
			story.Failed(event.ECONNRESET, x.State(at+41*time.Microsecond, tcp.Established, tcp.Close)),
		) {
			handle(&ev)
		}
	}
}

// However many there were, what is kept is bounded, and what is gone leaves no
// trace.
func TestModel_Bounded(t *testing.T) {
	h := newHost(t, 80, 24)
	h.at(1 * s)
	lives := 40_009
	flood(func(ev *event.Event) { h.tracker.Handle(ev, h.model.Show) }, 0, lives)
	h.tracker.Advance(event.Time(1000*s), h.model.Show)
	h.wantStates(map[tcp.State]int{})
	m := h.model
	got := map[string]int{
		"entries": m.entries.len, "chunks": len(m.entries.chunks), "processes": len(m.processes.byKey), "peers": len(m.peers.byKey),
		"resets": len(m.logs.resets.all), "ended": len(m.logs.ended.all),
	}
	want := map[string]int{
		"entries": 0, "chunks": 1, "processes": maxProcesses, "peers": maxPeers, "resets": maxResets, "ended": maxEnded,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := len(m.resets.byKey); n > maxTroubles || m.resets.dropped == 0 {
		t.Errorf("%d groups of resets, %d dropped", n, m.resets.dropped)
	}
}

// Where all groups are in use, what is new shares one, and leaves it again.
func TestGroups_Full(t *testing.T) {
	x := newGroups(3)
	var in []*group
	for i := range 5 {
		g := x.get(groupKey{pid: uint32(i + 1)})
		x.enter(g, tcp.Established)
		in = append(in, g)
	}
	if len(x.byKey) != 3 || in[3] != in[4] || in[3] != x.others || x.others.open != 2 {
		t.Fatalf("%d groups, others %+v", len(x.byKey), x.others)
	}
	x.leave(in[1], tcp.Established)
	if g := x.get(groupKey{pid: 9}); g != in[1] || len(x.byKey) != 3 || x.byKey[groupKey{pid: 2}] != nil {
		t.Error("the idle one has not made room")
	}
	x.leave(in[3], tcp.Established)
	x.leave(in[4], tcp.Established)
	if x.others.open != 0 {
		t.Errorf("%d left in others", x.others.open)
	}
}

// A list of 100,000 is put in order without all of them in the answer.
func TestModel_ManyRows(t *testing.T) {
	h := newHost(t, 80, 24)
	h.at(1 * s)
	const many = 100_003
	for i := range many {
		local := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 16), 1}), uint16(i))
		x := story.Socket{ID: event.ID{NetNS: 1, Cookie: uint64(i + 1)}, Local: local, Remote: netip.MustParseAddrPort("10.9.8.7:443")}
		ev := x.Seen(2*s+time.Duration(i), tcp.Established)
		h.tracker.Handle(&ev, h.model.Show)
	}
	h.at(3 * s)
	h.key("2", "S")
	v := h.display.view
	if v.Total != many || len(v.Conns) != leastRows || v.Conns[0].ID.Cookie != many {
		t.Errorf("%d of %d rows, the first is %x", len(v.Conns), v.Total, v.Conns[0].ID.Cookie)
	}
	h.key("end")
	if got, want := len(h.display.view.Conns), mostRows; got != want || h.display.selected != mostRows-1 {
		t.Errorf("%d rows, %d selected; want %d and the last", got, h.display.selected, want)
	}
	h.text()
}

// The first so many, in order, whatever the order in which they come.
func TestTop(t *testing.T) {
	x := top[int]{most: 7, before: func(a, b int) bool { return a < b }}
	for i := range 1009 {
		x.add(i * 577 % 1009)
	}
	if got := fmt.Sprint(x.sorted()); got != "[0 1 2 3 4 5 6]" {
		t.Error(got)
	}
}

// A connection that passes to a process that is not traced is said no more of:
// it is found to be gone all the same.
func TestModel_ForgetsWhatIsNotSaid(t *testing.T) {
	h := newHost(t, 80, 24)
	h.model.options.Selective = true
	x := story.NewSocket(5, "10.0.0.1:40000", "10.9.8.7:443")
	h.tell(x.Connect(1*s, ms, story.Task(1, "x")))
	h.at(2 * s)
	h.wantStates(map[tcp.State]int{tcp.Established: 1})
	end := x.State(3*s, tcp.Established, tcp.Close)
	h.tracker.Handle(&end, h.quiet)
	h.tracker.Advance(event.Time(20*s), h.quiet)
	h.at(20 * s)
	h.wantStates(map[tcp.State]int{})
}

var _ Trace = (*host)(nil)
var _ conn.Handler = (*host)(nil).quiet

// A minute is drawn whole, however few cells there are for it.
func TestSpark(t *testing.T) {
	minute := make([]int32, historySeconds)
	minute[0], minute[31], minute[59] = 2, 8, 1
	for cells, want := range map[int]string{6: "▂▁▁█▁▂", 1: "█", 0: "", 60: "▂" + strings.Repeat("▁", 30) + "█" + strings.Repeat("▁", 27) + "▂"} {
		if got := spark(minute, cells, false); got != want {
			t.Errorf("in %d cells: %q, want %q", cells, got, want)
		}
	}
	if got, want := spark([]int32{3, 0, 7}, 20, true), strings.Repeat(" ", 19)+"@"; got != want {
		t.Errorf("three seconds: %q, want %q", got, want)
	}
}

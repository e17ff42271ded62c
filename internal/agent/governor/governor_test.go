package governor

import (
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
)

// A host runs a governor for as many windows as a test lets pass, with tracing
// that costs what is not left out of it.
type host struct {
	*Governor
	now   event.Time
	spent time.Duration

	fixed, drops, details, connections float64 // CPU time a second
}

func newHost(limit float64) *host {
	h := &host{Governor: New(Options{Limit: limit, Window: DefaultWindow}), now: 1}
	h.Observe(h.now, 0)
	return h
}

func (h *host) costs() float64 {
	left := h.Shedding()
	cost := h.fixed + h.connections/float64(left.Weight())
	if !left.Drops {
		cost += h.drops
	}
	if !left.Retransmits {
		cost += h.details
	}
	return cost
}

// pass lets windows pass and returns how often something changed.
func (h *host) pass(windows int) (changes int) {
	for range windows {
		h.spent += time.Duration(h.costs() * float64(DefaultWindow))
		h.now = h.now.Add(DefaultWindow)
		if h.Observe(h.now, h.spent) {
			changes++
		}
	}
	return changes
}

func TestGovernor_LeavesOutNothingUnderTheLimit(t *testing.T) {
	h := newHost(0.01)
	h.fixed, h.connections = 0.003, 0.0065
	if changes := h.pass(1000); changes != 0 || h.Shedding() != (event.Shedding{}) {
		t.Errorf("%d changes, it leaves out %+v", changes, h.Shedding())
	}
}

// A sweep, say, costs much in one window.
func TestGovernor_BearsOneDearWindow(t *testing.T) {
	h := newHost(0.01)
	h.fixed = 0.003
	for range 20 {
		h.spent += time.Second
		if changes := h.pass(12); changes != 0 {
			t.Fatalf("%d changes", changes)
		}
	}
}

func TestGovernor_LeavesOutInOrder(t *testing.T) {
	h := newHost(0.01)
	h.drops, h.details, h.connections, h.fixed = 0.01, 0.01, 0.05, 0.002
	want := []event.Shedding{
		{}, {Drops: true}, {Drops: true, Retransmits: true}, {Drops: true, Retransmits: true, Sockets: 3}, {Drops: true, Retransmits: true, Sockets: 3},
	}
	for i, w := range want {
		h.pass(1)
		if got := h.Shedding(); got != w {
			t.Errorf("after window %d it leaves out %+v, want %+v", i+1, got, w)
		}
	}
	if h.Cost() > h.Limit() || h.AtEnd() {
		t.Errorf("it costs %v, and is at its end: %v", h.Cost(), h.AtEnd())
	}
}

func TestGovernor_LeavesOutNothingAnyMoreOnceItCan(t *testing.T) {
	h := newHost(0.01)
	h.fixed, h.connections = 0.002, 0.2
	h.pass(20)
	if h.Shedding().Sockets == 0 {
		t.Fatal("it leaves out no connections")
	}
	h.connections = 0.001
	h.pass(100)
	if got := h.Shedding(); got != (event.Shedding{}) {
		t.Errorf("it still leaves out %+v", got)
	}
}

// Where leaving out less costs too much at once, it tries that more and more
// seldom.
func TestGovernor_DoesNotFlap(t *testing.T) {
	h := newHost(0.01)
	h.fixed, h.drops = 0.006, 0.006 // without drops there is room, with them there is none
	h.pass(100)
	if changes := h.pass(720); changes > 30 { // an hour
		t.Errorf("%d changes in an hour", changes)
	}
}

func TestGovernor_SaysThatItIsAtItsEnd(t *testing.T) {
	h := newHost(0.01)
	h.fixed = 0.05
	h.pass(20)
	if !h.AtEnd() || h.Shedding().Weight() != 1<<maxSockets {
		t.Errorf("it leaves out %+v", h.Shedding())
	}
}

func TestGovernor_WithoutALimit(t *testing.T) {
	if g := New(Options{}); g.Due(1) {
		t.Error("it measures")
	}
}

// What a connection stands for goes by the time of its event; the open ones go
// by the smallest sample until a sweep has found the others.
func TestSamples(t *testing.T) {
	var s Samples
	half, quarter := event.Shedding{Sockets: 1}, event.Shedding{Sockets: 2}
	at := func(d time.Duration) event.Time { return event.Time(d) }
	s.Add(at(10*time.Second), quarter)
	s.Add(at(100*time.Second), half)
	for _, c := range []struct {
		at         time.Duration
		told, open event.Shedding
	}{
		{9 * time.Second, event.Shedding{}, event.Shedding{}},
		{10 * time.Second, quarter, quarter},
		{101 * time.Second, half, quarter},
		{100*time.Second + settled, half, half},
	} {
		if got := s.At(at(c.at)); got != c.told {
			t.Errorf("%v: %+v, want %+v", c.at, got, c.told)
		}
		if got := s.Open(at(c.at)); got != c.open {
			t.Errorf("%v: of the open ones %+v, want %+v", c.at, got, c.open)
		}
	}
}

package audit

import (
	"context"
	"testing"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A source hands over what it has when it is told to end.
type sourceFunc func(ctx context.Context, handle event.Handler) error

func (f sourceFunc) Run(ctx context.Context, handle event.Handler) error { return f(ctx, handle) }

// A number that comes back with smaller figures is another namespace's.
func TestValues_Exceeds(t *testing.T) {
	var before, after Values
	before.value[CurrEstab], before.value[TW] = 9, 5
	after.value[TW] = 5
	if before.exceeds(&after) {
		t.Error("fewer connections are open: that is no other namespace")
	}
	after.value[TW] = 4
	if !before.exceeds(&after) {
		t.Error("a counter has gone back: that is another namespace")
	}
}

// Of three namespaces one lives all the time, one ends and one begins.
func TestMeter_NamespacesComeAndGo(t *testing.T) {
	reading := func(netns uint32, at event.Time, opens int64) Reading {
		v := &Values{}
		v.value[PassiveOpens], v.known[PassiveOpens] = opens, true
		return Reading{NetNS: netns, Window: Window{at, at}, Values: v}
	}
	const second = 1_000_000_000
	rounds := [][]Reading{
		{reading(1, second, 100), reading(2, second, 50)},
		{reading(1, 3*second, 102), reading(3, 3*second, 1)},
	}
	m := newMeter(func() (next []Reading, err error) {
		next, rounds = rounds[0], rounds[1:]
		return next, nil
	})
	if err := m.Begin(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Report(); err == nil {
		t.Error("a report before the trace has ended")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := m.Run(ctx, sourceFunc(func(ctx context.Context, handle event.Handler) error {
		<-ctx.Done()
		if len(rounds) > 0 {
			t.Error("the source is told to end before the last reading")
		}
		for _, netns := range []uint32{1, 1, 2, 3} {
			handle(&event.Event{
				Kind: event.State, Time: 2 * second, ID: event.ID{NetNS: netns, Cookie: 9},
				Old: tcp.SynRecv, New: tcp.Established,
			})
		}
		return nil
	}), func(*event.Event) {})
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.Report()
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Gone) != 1 || r.Gone[0].NetNS != 2 || !r.Has(2) || r.Has(4) {
		t.Errorf("gone: %+v", r.Gone)
	}
	if len(r.Spaces) != 2 || r.Spaces[0].New || !r.Spaces[1].New {
		t.Fatalf("audited: %+v", r.Spaces)
	}
	for i, want := range []Line{
		{NetNS: 1, Counter: PassiveOpens, Tcptrace: 2, Kernel: 2},
		{NetNS: 3, Counter: PassiveOpens, Tcptrace: 1, Kernel: 1},
	} {
		if got := r.Spaces[i].Lines[0]; got.NetNS != want.NetNS || got.Tcptrace != want.Tcptrace || got.Kernel != want.Kernel {
			t.Errorf("line %+v, want %+v", got, want)
		}
	}
	if !r.Holds() {
		t.Error("it does not hold")
	}
}

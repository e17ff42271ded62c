package probe

import (
	"math/rand"
	"slices"
	"testing"

	"github.com/tcptrace/tcptrace/internal/event"
)

// feed adds events whose Time is given and whose ID tells them apart.
func feed(o *order, times ...event.Time) {
	for i, at := range times {
		ev := o.next()
		*ev = event.Event{Kind: event.State, Time: at, ID: event.ID{Cookie: uint64(i)}}
		o.added()
	}
}

func collect(o *order, horizon event.Time) (times []event.Time) {
	o.release(horizon, func(ev *event.Event) { times = append(times, ev.Time) })
	return times
}

func TestOrder_SortsAcrossCPUsAndKeepsTheNewestBack(t *testing.T) {
	var o order
	feed(&o, 10, 30, 20, 50, 40)
	if got, want := collect(&o, 35), []event.Time{10, 20, 30}; !slices.Equal(got, want) {
		t.Errorf("up to 35: got %v, want %v", got, want)
	}
	feed(&o, 45, 36)
	if got, want := collect(&o, 100), []event.Time{36, 40, 45, 50}; !slices.Equal(got, want) {
		t.Errorf("the rest: got %v, want %v", got, want)
	}
	if got := collect(&o, 1000); got != nil {
		t.Errorf("nothing left: got %v", got)
	}
}

func TestOrder_EqualTimesKeepTheRingsOrder(t *testing.T) {
	var o order
	feed(&o, 5, 7, 5, 5)
	var cookies []uint64
	o.release(10, func(ev *event.Event) { cookies = append(cookies, ev.ID.Cookie) })
	if want := []uint64{0, 2, 3, 1}; !slices.Equal(cookies, want) {
		t.Errorf("got %v, want %v", cookies, want)
	}
}

// A sweep's events are newer than what of the ring has been read: they do not
// say that all up to them has.
func TestOrder_ASweepDoesNotMoveTheRingsHorizon(t *testing.T) {
	var o order
	merge := func(at event.Time) {
		*o.next() = event.Event{Kind: event.Seen, Time: at}
		o.merged()
	}
	feed(&o, 10, 20)
	merge(15)
	merge(90)
	if o.newest != 20 {
		t.Errorf("the newest of the ring: %v, want 20", o.newest)
	}
	if got, want := collect(&o, 20), []event.Time{10, 15, 20}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	feed(&o, 30, 40)
	if got, want := collect(&o, 100), []event.Time{30, 40, 90}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestOrder_ALeftEventIsForgotten(t *testing.T) {
	var o order
	feed(&o, 1)
	*o.next() = event.Event{Time: 2} // and not added
	feed(&o, 3)
	if got, want := collect(&o, 10), []event.Time{1, 3}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestOrder_NothingLostNothingDoubled(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	var o order
	var fed, got []event.Time
	clock := event.Time(0)
	for range 200 {
		for range random.Intn(50) {
			clock += event.Time(random.Intn(100))
			at := clock - event.Time(random.Intn(300))
			feed(&o, at)
			fed = append(fed, at)
		}
		got = append(got, collect(&o, clock-300)...)
	}
	got = append(got, collect(&o, clock)...)
	if !slices.IsSorted(got) {
		t.Error("not in order of time")
	}
	slices.Sort(fed)
	slices.Sort(got)
	if !slices.Equal(fed, got) {
		t.Errorf("fed %d events, got %d", len(fed), len(got))
	}
}

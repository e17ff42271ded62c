package probe

import (
	"errors"
	"math/rand"
	"slices"
	"testing"

	"github.com/tcptrace/tcptrace/internal/event"
)

// feed adds records whose times are given and that hold their number.
func feed(o *order, times ...event.Time) {
	for i, at := range times {
		o.add(at, []byte{byte(i)})
	}
}

func collect(o *order, horizon event.Time) (times []event.Time) {
	for more := true; more; {
		more, _ = o.release(horizon, func(f *fact) error { times = append(times, f.at); return nil },
			func(found finding) { times = append(times, found.(sight).at) })
	}
	return times
}

// A sight is a finding that is none.
type sight struct{ at event.Time }

func (sight) fill(*event.Event) {}

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
	var numbers []byte
	_, _ = o.release(10, func(f *fact) error { numbers = append(numbers, f.raw...); return nil }, nil)
	if want := []byte{0, 2, 3, 1}; !slices.Equal(numbers, want) {
		t.Errorf("got %v, want %v", numbers, want)
	}
}

// A sweep's events are newer than what of the ring has been read: they wait for it.
func TestOrder_ASweepsEventsWaitForTheRing(t *testing.T) {
	var o order
	merge := func(at event.Time) {
		o.merge(at, sight{at})
	}
	feed(&o, 10, 20)
	merge(15)
	merge(90)
	if got, want := collect(&o, 20), []event.Time{10, 15, 20}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	feed(&o, 30, 40)
	if got, want := collect(&o, 100), []event.Time{30, 40, 90}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// What is kept back is read again after the kernel has written over its place in
// the ring, however often it is kept.
func TestOrder_KeepsRecordsThatTheRingHasNoMore(t *testing.T) {
	var o order
	ring := []byte("abcdef")
	for i, at := range []event.Time{1, 20, 30, 2, 40, 3} {
		o.add(at, ring[i:i+1])
	}
	for _, reading := range []struct {
		horizon event.Time
		want    string
	}{{3, "adf"}, {3, ""}, {20, "b"}, {40, "cez"}} {
		var got []byte
		_, _ = o.release(reading.horizon, func(f *fact) error { got = append(got, f.raw...); return nil }, nil)
		if string(got) != reading.want {
			t.Errorf("up to %d: got %q, want %q", reading.horizon, got, reading.want)
		}
		copy(ring, "######")
		if reading.horizon == 20 {
			copy(ring, "z")
			o.add(40, ring[:1])
		}
	}
}

// What follows is looked for among the records in their order, those included whose
// turn has not come.
func TestOrder_Follows(t *testing.T) {
	var o order
	feed(&o, 10, 40, 20, 30)
	o.merge(21, sight{21})
	found := map[event.Time][]byte{}
	_, _ = o.release(20, func(f *fact) error {
		o.follows(f.at+20, func(raw []byte) bool {
			found[f.at] = append(found[f.at], raw...)
			return raw[0] == 3
		})
		return nil
	}, func(finding) {})
	if want := []byte{2, 3}; !slices.Equal(found[10], want) {
		t.Errorf("behind 10, up to 30: got %v, want %v", found[10], want)
	}
	if want := []byte{3}; !slices.Equal(found[20], want) {
		t.Errorf("behind 20, up to 40: got %v, want %v", found[20], want)
	}
}

func TestOrder_StopsAtAnError(t *testing.T) {
	var o order
	feed(&o, 1, 2, 3)
	broken := errors.New("broken")
	if _, err := o.release(3, func(f *fact) error {
		if f.at == 2 {
			return broken
		}
		return nil
	}, nil); err != broken {
		t.Errorf("got %v, want %v", err, broken)
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
	compareTimes(t, got, fed)
}

// compareTimes says what of the times was lost, or doubled, or is not in order.
func compareTimes(t *testing.T, got, fed []event.Time) {
	t.Helper()
	if !slices.IsSorted(got) {
		t.Error("not in order of time")
	}
	slices.Sort(fed)
	slices.Sort(got)
	if !slices.Equal(fed, got) {
		t.Errorf("fed %d events, got %d", len(fed), len(got))
	}
}

// The ring is read between two batches of what a sweep has found, and its records
// have their places among that.
func TestOrder_ASweepComesInBatches(t *testing.T) {
	var o order
	var want, got []event.Time
	for at := range event.Time(3*batch + 1) {
		o.merge(2*at, sight{2 * at})
		want = append(want, 2*at)
	}
	times := 0
	for more := true; more; times++ {
		at := event.Time(2*batch*times + 1)
		feed(&o, at)
		want = append(want, at)
		before := len(got)
		more, _ = o.release(1e9, func(f *fact) error { got = append(got, f.at); return nil },
			func(found finding) { got = append(got, found.(sight).at) })
		if len(got)-before > batch+times+1 {
			t.Errorf("%d at once", len(got)-before)
		}
	}
	slices.Sort(want)
	if !slices.Equal(got, want) || times != 4 {
		t.Errorf("in %d batches, want 4; %d in all, want %d, in order of time", times, len(got), len(want))
	}
}

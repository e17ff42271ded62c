package recording

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
)

// hostFile records, of a host that was started at boot, an event at each time.
func hostFile(t *testing.T, path, host string, boot time.Time, at ...event.Time) string {
	t.Helper()
	r, err := Create(path, FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	info := testInfo()
	info.Host, info.Session, info.Boot, info.Began = host, host, boot, at[0]
	if err := r.Begin(info, nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	events := make([]event.Event, len(at))
	for i := range events {
		events[i] = event.Event{Kind: event.State, Time: at[i], ID: event.ID{NetNS: 1, Cookie: 7}}
	}
	record(t, r, events)
	return path
}

// Recordings of several hosts are handed over in the order of the wall clock,
// one at a time, and each is finished before the others go on.
func TestSet_InStep(t *testing.T) {
	dir := t.TempDir()
	noon := time.Date(2026, 5, 17, 12, 0, 0, 0, time.UTC)
	set, err := Open(
		hostFile(t, filepath.Join(dir, "c"), "gamma", noon.Add(-3*time.Second), 5, 3_000_000_004, 9_000_000_000),
		hostFile(t, filepath.Join(dir, "a"), "alpha", noon, 1, 4, 6, 2_000_000_000),
		hostFile(t, filepath.Join(dir, "b"), "beta", noon.Add(time.Second), 1, 2),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	var got []string // one goroutine at a time appends, which the race detector checks
	var running sync.WaitGroup
	for _, r := range set.Recordings {
		running.Go(func() {
			defer r.Done()
			err := r.Run(t.Context(), func(ev *event.Event) {
				got = append(got, fmt.Sprint(r.Info().Host, " ", r.Clock().Wall(ev.Time).Sub(noon)))
			})
			got = append(got, fmt.Sprint(r.Info().Host, " ends, ", err))
		})
	}
	running.Wait()
	want := []string{
		"gamma -2.999999995s",
		"alpha 1ns", "gamma 4ns", "alpha 4ns", "alpha 6ns",
		"beta 1.000000001s", "beta 1.000000002s", "beta ends, <nil>",
		"alpha 2s", "alpha ends, <nil>",
		"gamma 6s", "gamma ends, <nil>",
	}
	slices.Sort(got[2:4]) // at the same instant
	slices.Sort(want[2:4])
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestSet_ManyHosts(t *testing.T) {
	dir := t.TempDir()
	boot := time.Date(2026, 5, 17, 12, 0, 0, 0, time.UTC)
	var paths []string
	for host := range 7 {
		var at []event.Time
		for n := range 503 {
			at = append(at, event.Time(1+n*n%7919*31+host+n*100_000))
		}
		slices.Sort(at)
		paths = append(paths, hostFile(t, filepath.Join(dir, fmt.Sprint(host)), fmt.Sprint("host", host), boot, at...))
	}
	set, err := Open(paths...)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	var all []event.Time
	var running sync.WaitGroup
	for _, r := range set.Recordings {
		running.Go(func() {
			defer r.Done()
			if err := r.Run(t.Context(), func(ev *event.Event) { all = append(all, ev.Time) }); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	if len(all) != 7*503 || !slices.IsSorted(all) {
		t.Errorf("%d events, want %d; in order: %v", len(all), 7*503, slices.IsSorted(all))
	}
}

// Run ends where it is told to, and says so.
func TestRecording_EndsEarly(t *testing.T) {
	path := hostFile(t, filepath.Join(t.TempDir(), "a"), "alpha", time.Unix(0, 0), 1, 2*second, 3*second, 4*second)
	open := func() *Recording {
		set, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(set.Close)
		return set.Recordings[0]
	}
	r := open()
	r.Duration = 2 * time.Second
	n := 0
	if err := r.Run(t.Context(), func(*event.Event) { n++ }); err != nil || n != 2 || !r.Stopped() {
		t.Errorf("of two seconds: %d events, stopped %v, %v; want 2, true, none", n, r.Stopped(), err)
	}
	r = open()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n = 0
	if err := r.Run(ctx, func(*event.Event) { n++ }); err != nil || n != 0 || !r.Stopped() {
		t.Errorf("interrupted: %d events, stopped %v, %v; want 0, true, none", n, r.Stopped(), err)
	}
}

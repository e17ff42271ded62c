//go:build linux

package probe

import (
	"context"
	commandline "flag"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/lab"
)

// A churning is what was seen of a churn by several rings.
type churning struct {
	transitions map[[2]string]int
	late        int // events that are older than one before them
	lost        uint64
	cpus        int         // that wrote records
	records     map[int]int // by ring: that its processors wrote
	bytes       []uint64    // read of each ring
}

// Each processor writes to its own ring; what is read of them is whole, and in order.
func TestLive_Rings_AreReadAsOne(t *testing.T) {
	if cpus, err := onlineCPUs(); err != nil || len(cpus) < 2 {
		t.Skipf("processors %v (%v): each ring needs one", cpus, err)
	}
	// Where the kernel skips a program, that is a loss: see watchBy.
	var seen *churning
	var count int
	for _, count = range []int{4001, 4001, 1009, 211, 53, 53, 53} {
		lab.Unshielded(t.Logf, func() { seen = churnByRings(t, count) })
		if seen.lost == 0 {
			break
		}
		t.Logf("%d events of %d connections are counted as lost: once more", seen.lost, count)
	}
	story, err := lab.Lookup("churn")
	if err != nil {
		t.Fatal(err)
	}
	want := map[[2]string]int{{"CLOSE", "LISTEN"}: 1, {"LISTEN", "CLOSE"}: 1}
	for _, path := range [][]string{story.ClientStates(), story.ServerStates()} {
		for i := range path[1:] {
			if path[i] != "TIME_WAIT" { // it outlives the story
				want[[2]string{path[i], path[i+1]}] += count
			}
		}
	}
	for step := range seen.transitions {
		if step[0] == "TIME_WAIT" {
			delete(seen.transitions, step)
		}
	}
	if !maps.Equal(seen.transitions, want) {
		t.Errorf("transitions: %v, want %v", seen.transitions, want)
	}
	if seen.late != 0 || seen.lost != 0 {
		t.Errorf("%d events out of order, %d lost", seen.late, seen.lost)
	}
	if seen.cpus < 2 {
		t.Errorf("%d processors wrote: the test shows nothing", seen.cpus)
	}
	for ring, bytes := range seen.bytes {
		t.Logf("ring %d: %d records, %d bytes", ring, seen.records[ring], bytes)
		least := uint64(seen.records[ring]) * room(uint64(recordSize))
		if bytes < least || bytes > 2*least || bytes == 0 {
			t.Errorf("%d bytes were read of ring %d, to which %d records were written", bytes, ring, seen.records[ring])
		}
	}
}

func churnByRings(t *testing.T, count int) *churning {
	t.Helper()
	story, err := lab.Lookup("churn")
	if err != nil {
		t.Fatal(err)
	}
	seen := &churning{transitions: map[[2]string]int{}, records: map[int]int{}}
	tracker := conn.New(conn.Options{})
	change := func(c *conn.Change) {
		switch c.Kind {
		case conn.Lost:
			seen.lost += c.Event.Loss.Count
		case conn.Transition:
			seen.transitions[[2]string{c.Old.String(), c.New.String()}]++
		}
	}
	var last event.Time
	handle := func(ev *event.Event) {
		tracker.Handle(ev, change)
		if ev.Kind == event.Lost { // it is of the time at which it became known
			return
		}
		if ev.Time < last {
			seen.late++
		}
		last = max(last, ev.Time)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	var s *Source
	_, err = story.Run(ctx, lab.Params{N: count, Rate: count / 2, Duration: time.Minute, Ready: func(netns []uint32) error {
		s, err = Open(Options{
			Hooks: commandline.Lookup("hooks").Value.String(), BTF: commandline.Lookup("btf").Value.String(),
			Rings: 2, NoSweep: true, Filter: filter.Filter{NetNS: netns},
		})
		if err != nil {
			return err
		}
		go func() { done <- s.Run(ctx, handle) }()
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	tracker.Finish(last, change)
	seen.read(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return seen
}

// read reads how many records were written to each ring, and how many bytes read of it.
func (c *churning) read(s *Source) {
	online, _ := onlineCPUs()
	share := sharing{rings: len(s.rings), online: online}
	for cpu := range s.ledger.perCPU {
		records := 0
		for kind, sent := range s.ledger.perCPU[cpu].Sent {
			records += int(sent - s.ledger.perCPU[cpu].Lost[kind])
		}
		if records > 0 {
			c.cpus++
		}
		c.records[share.ringOf(cpu)] += records
	}
	for _, r := range s.rings {
		c.bytes = append(c.bytes, r.at)
	}
}

// The kernel takes every program with several rings that it takes with one.
func TestPrograms_AreTakenWithSeveralRings(t *testing.T) {
	if cpus, err := onlineCPUs(); err != nil || len(cpus) < 2 {
		t.Skipf("processors %v (%v): each ring needs one", cpus, err)
	}
	var taken [3][]string
	for rings := 1; rings <= 2; rings++ {
		s, err := Open(Options{
			Hooks: commandline.Lookup("hooks").Value.String(), BTF: commandline.Lookup("btf").Value.String(),
			Rings: rings, RingBytes: 1 << 16, NoSweep: true, Stacks: true, Errors: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		taken[rings] = slices.Sorted(maps.Keys(s.programs.collection.Programs))
		if len(s.rings) != rings {
			t.Errorf("%d rings, want %d", len(s.rings), rings)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(taken[1], taken[2]) {
		t.Errorf("with one ring %v, with two %v", taken[1], taken[2])
	}
	t.Logf("%d programs", len(taken[1]))
}

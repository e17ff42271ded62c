//go:build linux

package probe

import (
	"context"
	commandline "flag"
	"slices"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/lab"
)

// The first process that reads from a socket or, where that is seen, accepts it is
// told, also where the socket's place in the table of those that nobody has is
// taken. It is told once, but where a process accepts the socket before the kernel
// has made it ESTABLISHED, on another processor: then the first read is told, too.
// No place stays taken.
func TestLive_FirstReaders(t *testing.T) {
	story, err := lab.Lookup("churn")
	if err != nil {
		t.Fatal(err)
	}
	for name, taken := range map[string]uint64{"free": 0, "taken": ^uint64(0)} {
		t.Run(name, func(t *testing.T) {
			lab.Unshielded(t.Logf, func() { readOnce(t, story, taken) })
		})
	}
}

// readOnce plays the story with each place of the table as given, and compares.
func readOnce(t *testing.T, story lab.Story, taken uint64) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var s *Source
	told, done := map[event.ID][]event.Kind{}, make(chan error, 1)
	truth, err := story.Run(ctx, lab.Params{N: 200, Rate: 400, Duration: 5 * time.Second, Ready: func(netns []uint32) (err error) {
		options := Options{NoSweep: true, Hooks: commandline.Lookup("hooks").Value.String()}
		options.Filter.NetNS = netns
		if s, err = Open(options); err != nil {
			return err
		}
		go func() {
			done <- s.Run(ctx, func(ev *event.Event) {
				if ev.Kind == event.Used || ev.Kind == event.Accepted {
					told[ev.ID] = append(told[ev.ID], ev.Kind)
				}
			})
		}()
		return fillPlaces(s, taken)
	}})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.kernel.socketStorage && len(told) != truth.Count {
		t.Errorf("first processes of %d sockets, want %d", len(told), truth.Count)
	}
	for id, kinds := range told {
		if len(kinds) > 1 && !slices.Equal(kinds, []event.Kind{event.Accepted, event.Used}) {
			t.Errorf("%v: told by %v", id, kinds)
		}
	}
	forEachPlace(t, s, func(place uint32, cookie uint64) {
		if cookie != taken {
			t.Errorf("place %d holds %d, want %d", place, cookie, taken)
		}
	})
}

func fillPlaces(s *Source, cookie uint64) error {
	table := s.programs.collection.Maps[bpf.TcptraceMapUnowned]
	for place := range table.MaxEntries() {
		if err := table.Put(place, cookie); err != nil {
			return err
		}
	}
	return nil
}

func forEachPlace(t *testing.T, s *Source, see func(place uint32, cookie uint64)) {
	table := s.programs.collection.Maps[bpf.TcptraceMapUnowned]
	for place := range table.MaxEntries() {
		var cookie uint64
		if err := table.Lookup(place, &cookie); err != nil {
			t.Fatal(err)
		}
		see(place, cookie)
	}
}

//go:build linux

package probe

import (
	"context"
	"net/netip"
	"testing"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/snapshot"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Of the listeners that have no room those are lost that may be asked for, each once:
// again only where there are more.
func TestSweeper_CountsTheListenersThatAreWanted(t *testing.T) {
	for _, c := range []struct {
		name   string
		filter filter.Filter
		found  []int // listeners, at ports from 1 on, by each sweep
		want   []uint64
	}{
		{"all have room", filter.Filter{}, []int{4}, []uint64{0}},
		{"each once", filter.Filter{}, []int{6, 6, 7, 3, 5}, []uint64{2, 0, 1, 0, 1}},
		{"two are wanted", filter.Filter{LocalPorts: []uint16{1, 2}}, []int{5, 9, 9}, []uint64{1, 1, 0}},
		{"none is wanted", filter.Filter{Ports: []uint16{99}}, []int{9}, []uint64{0}},
		{"of other namespaces", filter.Filter{NetNS: []uint32{8}}, []int{9}, []uint64{0}},
		{"whose process is not known", filter.Filter{Comms: []string{"nginx"}}, []int{9}, []uint64{5}},
	} {
		s := &sweeper{filter: &c.filter, watchable: 4}
		for sweep, listeners := range c.found {
			s.cancel = context.CancelFunc(func() {})
			found := &swept{begun: 10, ended: 20, snapshot: &snapshot.Snapshot{}}
			for i := range listeners {
				found.snapshot.Sockets = append(found.snapshot.Sockets, snapshot.Socket{
					ID: event.ID{NetNS: 7, Cookie: uint64(i) + 1}, State: tcp.Listen, Time: 11,
					Local: netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(i)+1),
				})
			}
			var o order
			s.finish(found, &o)
			var lost uint64
			_, _ = o.release(20, nil, func(found finding) {
				var ev event.Event
				if found.fill(&ev); ev.Kind == event.Lost {
					lost += ev.Loss.Count
				}
			})
			if lost != c.want[sweep] {
				t.Errorf("%s: sweep %d: %d lost, want %d", c.name, sweep, lost, c.want[sweep])
			}
		}
	}
}

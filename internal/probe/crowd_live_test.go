//go:build linux

package probe_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/probe"
)

// A crowd is one live source of the whole host, under which stories play side
// by side: each is told of what happens in its namespaces.
type crowd struct {
	source       *probe.Source
	cancel       context.CancelFunc
	done         chan error
	batched      *sync.Cond // guards what follows; signals the end of a batch
	batch, older time.Time  // ends of the last two
	watchers     map[uint32]*watcher
	fin          probe.Capability // see sighting
	received     uint64
	lost         uint64
}

func startCrowd(t *testing.T) *crowd {
	t.Helper()
	c := &crowd{done: make(chan error, 1), batched: sync.NewCond(&sync.Mutex{}), watchers: map[uint32]*watcher{}}
	var err error
	c.source, err = open(probe.Options{NoSweep: true, RingBytes: 64 << 20, OnBatch: func() {
		c.batched.L.Lock()
		defer c.batched.L.Unlock()
		c.batch, c.older = time.Now(), c.batch
		c.batched.Broadcast()
	}})
	if err != nil {
		t.Fatal(err)
	}
	c.fin = capability(c.source, "FIN_WAIT2 after close()")
	ctx, cancel := context.WithCancel(context.Background()) // the tests in t outlive its own
	c.cancel = cancel
	go func() { c.done <- c.source.Run(ctx, c.take) }()
	t.Cleanup(func() { c.end(t) })
	return c
}

func (c *crowd) take(ev *event.Event) {
	c.batched.L.Lock()
	defer c.batched.L.Unlock()
	if ev.Kind == event.Lost {
		c.lost += ev.Loss.Count
		return
	}
	c.received++
	if w := c.watchers[ev.ID.NetNS]; w != nil {
		w.handle(ev)
	}
}

// end holds what came against what the kernel side says to have sent.
func (c *crowd) end(t *testing.T) {
	c.cancel()
	if err := <-c.done; err != nil {
		t.Error(err)
	}
	var sent uint64
	for _, tally := range c.source.Tally() {
		sent += tally.Sent
	}
	if c.lost != 0 || c.received != sent {
		t.Errorf("%d events lost, %d sent and %d received", c.lost, sent, c.received)
	}
	if err := c.source.Close(); err != nil {
		t.Error(err)
	}
}

// play plays a story and returns what was seen of it.
func (c *crowd) play(t *testing.T, name string, params lab.Params) (truth *lab.Truth, seen *sighting) {
	t.Helper()
	lab.Unshielded(t.Logf, func() {
		w := &watcher{
			tracker: conn.New(conn.Options{}), seen: sighting{transitions: map[lab.Transition]int{}},
			byConn: map[*conn.Connection]*life{},
		}
		params.Ready = func(netns []uint32) error {
			c.batched.L.Lock()
			defer c.batched.L.Unlock()
			for _, ns := range netns {
				c.watchers[ns] = w
			}
			return nil
		}
		w.seen.fin = c.fin
		truth = play(t, name, params)
		c.leave(w)
		seen = &w.seen
	})
	return truth, seen
}

// leave returns when all that has happened so far has been handed over: a batch
// that began later than the time that an event may be on its way is over.
func (c *crowd) leave(w *watcher) {
	const underWay = 2 * time.Millisecond
	c.batched.L.Lock()
	defer c.batched.L.Unlock()
	for since := time.Now().Add(underWay); !c.older.After(since); {
		c.batched.Wait()
	}
	for ns, other := range c.watchers {
		if other == w {
			delete(c.watchers, ns)
		}
	}
	w.seen.sent = w.seen.received // for all stories together: see end
	w.tracker.Finish(w.last, w.change)
}

// The stories once more, several at a time under one source, as on a host where
// much happens at once. A kernel shows so in a minute what it does right.
func TestLive_Crowd(t *testing.T) {
	c := startCrowd(t)
	for _, story := range lab.Stories() {
		if story.Name == "churn" {
			continue
		}
		t.Run(story.Name, func(t *testing.T) {
			if story.Takes > 30*time.Second && testing.Short() {
				t.Skipf("it takes %v", story.Takes)
			}
			t.Parallel()
			families(t, func(t *testing.T, params lab.Params) {
				truth, seen := c.play(t, story.Name, params)
				compare(t, truth, seen)
			})
		})
	}
}

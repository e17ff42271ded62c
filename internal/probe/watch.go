//go:build linux

package probe

import (
	"fmt"
	"io"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/event"
)

const (
	// watchEvery is how often the kernel side's maps are looked at for what no
	// hook tells: while there is such, and where the kernel does not say what met
	// a full queue, so that the queue must be seen while it is full.
	watchEvery = 100 * time.Millisecond

	// watchCalm is how often while there is none, and watchIdle while the hooks tell
	// nothing: to go through the empty places of a map of 16,384 listeners takes half
	// a millisecond.
	watchCalm = 500 * time.Millisecond
	watchIdle = time.Second

	// stormEvery is how often the storms are looked at: what a connection has
	// counted is told at most twice a second.
	stormEvery = 250 * time.Millisecond

	// stormEnds is for how long after something was last counted there may be
	// counts to tell: longer than TT_IDLE_NS of bpf/storm.h.
	stormEnds = 2 * time.Second

	// forgetEvery is how often the buckets of storms that are over are dropped.
	forgetEvery = time.Minute
)

// A watch looks at two maps of the kernel side: the listeners, for packets that
// they dropped since, and the storms, for what was counted rather than told.
// What it finds goes into the ring. Where this kernel has no iterators of maps
// it finds nothing.
type watch struct {
	listeners, counted *link.Iter // nil where there are none
	storms             *ebpf.Map
	over               *ebpf.Variable
	flows              *ebpf.Variable // how many buckets are of dropped packets
	last               event.Time
	lastStorms         event.Time
	forgot             event.Time
	sent               uint64     // what the hooks had told as of the last look
	known              uint64     // what they had counted
	grew               event.Time // since when that is so
	full               uint64     // what they had told of full queues
	filled             event.Time // since when that is so
	blind              bool       // a queue must be seen while it is full
}

func newWatch(p *programs, k *kernel) watch {
	w := watch{
		storms: p.collection.Maps[bpf.TcptraceMapStorms],
		over:   p.collection.Variables[bpf.TcptraceVarTracingIsOver],
		flows:  p.collection.Variables[bpf.TcptraceVarFlowsDropped],
		forgot: now(),
		blind:  !k.freedReceiver,
	}
	w.listeners, w.counted = p.iterator(bpf.TcptraceProgTtListeners), p.iterator(bpf.TcptraceProgTtStorms)
	return w
}

// interval returns how long after the last look the next one is due.
func (w *watch) interval(now event.Time, l *ledger) time.Duration {
	recent := func(at event.Time) bool { return at != 0 && now.Sub(at) <= stormEnds }
	if full := l.known[event.QueueFull].Sent; full != w.full {
		w.full, w.filled = full, now
	}
	switch {
	case l.sent == w.sent && l.counted == w.known:
		return watchIdle
	case w.blind || l.counted != w.known || recent(w.grew) || recent(w.filled):
		return watchEvery
	}
	return watchCalm
}

// look looks if it is time to, by what the hooks have told so far.
func (w *watch) look(now event.Time, l *ledger) error {
	if now.Sub(w.last) < w.interval(now, l) {
		return nil
	}
	counted := l.counted
	w.last, w.sent = now, l.sent
	if now.Sub(w.forgot) >= forgetEvery {
		w.forgot = now
		if err := w.forget(now); err != nil {
			return err
		}
	}
	if err := run(w.listeners); err != nil {
		return err
	}
	if counted != w.known {
		w.known, w.grew = counted, now
	}
	// What a connection has counted is told once it has been idle for a while.
	if w.grew == 0 || now.Sub(w.grew) > stormEnds || now.Sub(w.lastStorms) < stormEvery {
		return nil
	}
	w.lastStorms = now
	return run(w.counted)
}

// lookLast, once the hooks are detached, looks as often as it takes until all is
// told: what one look finds of a listener is told by the next, if nothing has
// explained it by then (bpf/listener.h).
func (w *watch) lookLast() error {
	if err := w.over.Set(true); err != nil {
		return fmt.Errorf("tell the BPF programs that tracing is over: %w", err)
	}
	for _, it := range []*link.Iter{w.listeners, w.counted, w.listeners} {
		if err := run(it); err != nil {
			return err
		}
	}
	return nil
}

// run goes through what the iterator lists.
func run(it *link.Iter) error {
	if it == nil {
		return nil
	}
	listing, err := it.Open()
	if err != nil {
		return fmt.Errorf("run an iterator: %w", err)
	}
	defer listing.Close()
	if _, err = io.Copy(io.Discard, listing); err != nil {
		return fmt.Errorf("run an iterator: %w", err)
	}
	return nil
}

// forget drops the buckets that nothing has been taken from for long, and counts
// those of dropped packets that are left. One of a connection goes with it, but
// that may have been missed.
func (w *watch) forget(now event.Time) error {
	var key bpf.TcptraceTtStormKey
	var value bpf.TcptraceTtStorm
	var idle []bpf.TcptraceTtStormKey
	var flows uint32
	entries := w.storms.Iterate()
	for entries.Next(&key, &value) {
		if value.Counts.Events == 0 && value.Counts.Timeouts == 0 && now.Sub(event.Time(value.FilledNs)) > forgetEvery {
			idle = append(idle, key)
		} else if key.Kind == uint8(bpf.TcptraceTtKindTT_DROPPED) && key.Whose != 0 {
			flows++
		}
	}
	for i := range idle {
		_ = w.storms.Delete(&idle[i]) // it may be gone by itself
	}
	if err := w.flows.Set(flows); err != nil {
		return fmt.Errorf("tell the BPF programs how many flows have dropped packets: %w", err)
	}
	return nil // a map that changes while it is read may end early
}

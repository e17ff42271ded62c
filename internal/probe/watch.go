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
	// hook tells.
	watchEvery = 100 * time.Millisecond

	// forgetEvery is how often the buckets of storms that are over are dropped.
	forgetEvery = time.Minute
)

// A watch looks at two maps of the kernel side: the listeners, for packets that
// they dropped since, and the storms, for what was counted rather than told.
// What it finds goes into the ring. Where this kernel has no iterators of maps
// it finds nothing.
type watch struct {
	iterators []*link.Iter
	storms    *ebpf.Map
	over      *ebpf.Variable
	flows     *ebpf.Variable // how many buckets are of dropped packets
	last      event.Time
	forgot    event.Time
}

func newWatch(p *programs) watch {
	w := watch{
		storms: p.collection.Maps[bpf.TcptraceMapStorms],
		over:   p.collection.Variables[bpf.TcptraceVarTracingIsOver],
		flows:  p.collection.Variables[bpf.TcptraceVarFlowsDropped],
		forgot: now(),
	}
	for _, program := range []string{bpf.TcptraceProgTtListeners, bpf.TcptraceProgTtStorms} {
		if it := p.iterator(program); it != nil {
			w.iterators = append(w.iterators, it)
		}
	}
	return w
}

// look looks if it is time to.
func (w *watch) look(now event.Time) error {
	if now.Sub(w.last) < watchEvery {
		return nil
	}
	w.last = now
	if now.Sub(w.forgot) >= forgetEvery {
		w.forgot = now
		if err := w.forget(now); err != nil {
			return err
		}
	}
	return w.run()
}

// lookLast, once the hooks are detached, looks as often as it takes until all is
// told: what one look finds of a listener is told by the next, if nothing has
// explained it by then (bpf/listener.h).
func (w *watch) lookLast() error {
	if err := w.over.Set(true); err != nil {
		return fmt.Errorf("tell the BPF programs that tracing is over: %w", err)
	}
	if err := w.run(); err != nil {
		return err
	}
	return w.run()
}

func (w *watch) run() error {
	for _, it := range w.iterators {
		listing, err := it.Open()
		if err != nil {
			return fmt.Errorf("look at what no hook tells: %w", err)
		}
		_, err = io.Copy(io.Discard, listing)
		listing.Close()
		if err != nil {
			return fmt.Errorf("look at what no hook tells: %w", err)
		}
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

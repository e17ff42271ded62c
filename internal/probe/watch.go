//go:build linux

package probe

import (
	"fmt"
	"io"
	"time"

	"github.com/cilium/ebpf/link"

	"github.com/tcptrace/tcptrace/internal/event"
)

// watchEvery is how often the listeners are looked at for SYNs that they
// dropped.
const watchEvery = 100 * time.Millisecond

// A watch looks at the listeners, which the kernel side knows, for packets
// that they dropped since and of which no hook tells. What it finds goes into
// the ring. The zero watch, where this kernel has none, finds nothing.
type watch struct {
	iterator *link.Iter
	last     event.Time
}

// look looks if it is time to.
func (w *watch) look(now event.Time) error {
	if now.Sub(w.last) < watchEvery {
		return nil
	}
	w.last = now
	return w.run()
}

// lookLast looks as often as it takes until all is told: what one look finds
// is told by the next, if nothing has explained it by then (bpf/listener.h).
func (w *watch) lookLast() error {
	if err := w.run(); err != nil {
		return err
	}
	return w.run()
}

func (w *watch) run() error {
	if w.iterator == nil {
		return nil
	}
	listing, err := w.iterator.Open()
	if err != nil {
		return fmt.Errorf("look at the listeners: %w", err)
	}
	defer listing.Close()
	if _, err := io.Copy(io.Discard, listing); err != nil {
		return fmt.Errorf("look at the listeners: %w", err)
	}
	return nil
}

//go:build linux

package probe

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"
)

// Whichever ring the kernel side asks to be read ends the sleep, and so does interrupt.
func TestWaiter_AnyRingWakes(t *testing.T) {
	for _, n := range []int{1, 2} {
		var maps []*ebpf.Map
		var writers []writer
		for range n {
			m := newRing(t)
			maps, writers = append(maps, m), append(writers, reserves(t, m, forceWakeup))
		}
		w, err := newWaiter(maps, func() bool { return false })
		if err != nil {
			t.Fatal(err)
		}
		for i := range writers {
			wakes(t, w, func() {
				if full, _, err := writers[i].program.Benchmark(make([]byte, 64), 1, nil); full != 0 || err != nil {
					t.Errorf("write to ring %d: %d, %v", i, full, err)
				}
			})
		}
		wakes(t, w, w.interrupt)
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}
}

// wakes has w sleep for long, and calls wake now and then until that has ended.
func wakes(t *testing.T, w *waiter, wake func()) {
	t.Helper()
	const long = time.Hour
	done := make(chan error, 1)
	go func() { done <- w.wait(long) }()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		case <-time.After(10 * time.Millisecond):
			wake() // before it slept that was in vain
		}
	}
}

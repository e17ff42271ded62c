//go:build linux

package lab

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// twinStories are those whose connections are like any other, however often the
// kernel makes two sockets for one.
func twinStories() []Story {
	return []Story{{
		Name: "two-acks",
		Doc: "the handshake's last ACK comes twice, on two processors at once: now and then each makes a socket for the server," +
			" and the kernel takes one of them back (PassiveOpens counts both). Nothing is wrong",
		Client:   path(opened, closesFirst),
		Server:   path(accepted, closesSecond),
		Networks: []Network{Wire},
		play:     playTwoACKs,
	}}
}

func playTwoACKs(ctx context.Context, st *stage) error {
	seen := map[flow]bool{}
	st.net.wire.setRule(func(w *wire, s segment) {
		if s.from != clientSide || s.flags&flagSYN != 0 || seen[s.flow()] {
			w.pass(s)
			return
		}
		seen[s.flow()] = true
		w.fail(w.passTwice(s))
	})
	return st.closeInOrder(ctx, clientFirst)
}

// passTwice delivers the segment twice at the same time, on two processors where
// there are as many.
func (w *wire) passTwice(s segment) error {
	raw, err := w.ends[1-s.from].SyscallConn()
	if err != nil {
		return fmt.Errorf("write to the wire twice: %w", err)
	}
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return fmt.Errorf("find the processors: %w", err)
	}
	var errs [2]error
	var both sync.WaitGroup
	var ready atomic.Int32
	err = raw.Control(func(fd uintptr) {
		for i, cpu := range twoOf(&allowed) {
			both.Go(func() {
				runtime.LockOSThread() // and the thread ends with the goroutine
				var one unix.CPUSet
				one.Set(cpu)
				errs[i] = unix.SchedSetaffinity(0, &one)
				for ready.Add(1); ready.Load() < 2; { // a sleep would take too long to end
				}
				if errs[i] == nil {
					_, errs[i] = unix.Write(int(fd), s.packet)
				}
			})
		}
		both.Wait()
	})
	for _, e := range append(errs[:], err) {
		if e != nil {
			return fmt.Errorf("write to the wire twice: %w", e)
		}
	}
	return nil
}

// twoOf returns the first two processors of a set, or its only one twice.
func twoOf(set *unix.CPUSet) (two [2]int) {
	for cpu, n := 0, 0; n < min(set.Count(), 2); cpu++ {
		if set.IsSet(cpu) {
			two[n], two[1] = cpu, cpu
			n++
		}
	}
	return two
}

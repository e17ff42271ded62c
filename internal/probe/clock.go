//go:build linux

package probe

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
)

// tied is one instant by two clocks: Go's, which is the kernel's CLOCK_MONOTONIC
// too, but since another begin, and is read without a system call; and that of
// the kernel's time stamps.
var tied = tie()

type tiedClocks struct {
	here time.Time
	then event.Time
}

// tie reads one between two readings of the other, several times, of which the
// closest are taken: they are off by some 50 ns at most.
func tie() (closest tiedClocks) {
	least := time.Hour
	for range 10 {
		var t unix.Timespec
		before := time.Now()
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail for this clock
		if took := time.Since(before); took < least {
			least, closest = took, tiedClocks{before.Add(took / 2), event.Time(t.Nano())}
		}
	}
	return closest
}

// Now reads the clock of the kernel's time stamps.
func Now() event.Time { return tied.then.Add(time.Since(tied.here)) }

func now() event.Time { return Now() }

func readClock() event.Clock {
	return event.Clock{Boot: time.Now().Round(0).Add(-time.Duration(now()))}
}

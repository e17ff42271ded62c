package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/probe"
)

// spent returns the CPU time that tracing has taken in all: this process, and the
// BPF programs that the kernel runs for it.
func spent(source *probe.Source) (time.Duration, error) {
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		return 0, fmt.Errorf("read the CPU time of this process: %w", err)
	}
	programs, _, err := source.Cost()
	return time.Duration(use.Utime.Nano()+use.Stime.Nano()) + programs, err
}

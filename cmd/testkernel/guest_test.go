package main

import (
	"os"
	"testing"
	"time"
)

// What a process has had of the CPU grows as it works, whoever else works.
func TestCPUTime(t *testing.T) {
	const work = 50 * time.Millisecond
	began := cpuTime(os.Getpid())
	for deadline := time.Now().Add(time.Minute); cpuTime(os.Getpid())-began < work; {
		if time.Now().After(deadline) {
			t.Fatalf("%v of the CPU after a minute of work, want %v", cpuTime(os.Getpid())-began, work)
		}
	}
	if got := cpuTime(-1); got != 0 {
		t.Errorf("%v of the CPU for a process that is none", got)
	}
}

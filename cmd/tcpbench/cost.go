//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// A cost is what a tracer has used up so far.
type cost struct {
	CPU    time.Duration // of its process
	Memory int64         // bytes, at their most
	BPF    time.Duration // of its programs, while the kernel counts that
	Calls  uint64        // of its programs
}

func (t *tracer) cost() (cost, error) {
	var c cost
	if t.cmd == nil {
		return c, nil
	}
	var err error
	if c.CPU, err = processorTime(t.cmd.Process.Pid); err != nil {
		return c, err
	}
	if c.Memory, err = mostMemory(t.cmd.Process.Pid); err != nil {
		return c, err
	}
	ids, err := t.programs()
	if err != nil {
		return c, err
	}
	for _, id := range ids {
		if err := c.add(id); err != nil {
			return c, err
		}
	}
	return c, nil
}

// add takes in what a program has used up.
func (c *cost) add(id ebpf.ProgramID) error {
	program, err := ebpf.NewProgramFromID(id)
	if errors.Is(err, os.ErrNotExist) {
		return nil // gone
	}
	if err != nil {
		return err
	}
	defer program.Close()
	stats, err := program.Stats()
	if err != nil {
		return err
	}
	c.BPF += stats.Runtime
	c.Calls += stats.RunCount
	return nil
}

// processorTime reads the clock of a process's time on processors, which counts
// threads that have ended too (clock_getcpuclockid(3)).
func processorTime(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|scheduled, &t); err != nil {
		return 0, fmt.Errorf("read the processor time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// mostMemory reads VmHWM of /proc/PID/status, in bytes.
func mostMemory(pid int) (int64, error) {
	file := fmt.Sprintf("/proc/%d/status", pid)
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no VmHWM", file)
}

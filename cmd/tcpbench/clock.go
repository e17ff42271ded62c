//go:build linux

package main

import (
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// A clock has the kernel time BPF programs, and measures what that itself takes:
// by a program that does nothing, called whenever a timer is started.
type clock struct {
	stats   io.Closer
	nothing *ebpf.Program
	at      link.Link
	read    ebpf.ProgramStats // as it was read last
}

func startClock() (_ *clock, err error) {
	c := &clock{}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	if c.stats, err = ebpf.EnableStats(unix.BPF_STATS_RUN_TIME); err != nil {
		return nil, fmt.Errorf("have the kernel time BPF programs: %w", err)
	}
	c.nothing, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:         "nothing",
		Type:         ebpf.RawTracepoint,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
		License:      "Dual BSD/GPL",
	})
	if err != nil {
		return nil, fmt.Errorf("load a program that does nothing: %w", err)
	}
	if c.at, err = link.AttachRawTracepoint(link.RawTracepointOptions{Name: "timer_start", Program: c.nothing}); err != nil {
		return nil, fmt.Errorf("attach a program that does nothing: %w", err)
	}
	return c, nil
}

// perCall returns what the kernel says in nanoseconds of a call that does nothing,
// since it was asked last.
func (c *clock) perCall() (float64, error) {
	now, err := c.nothing.Stats()
	if err != nil {
		return 0, fmt.Errorf("read the time of a program that does nothing: %w", err)
	}
	took, calls := now.Runtime-c.read.Runtime, now.RunCount-c.read.RunCount
	c.read = *now
	return float64(took) / float64(max(calls, 1)), nil
}

func (c *clock) stop() {
	if c.at != nil {
		c.at.Close()
	}
	if c.nothing != nil {
		c.nothing.Close()
	}
	if c.stats != nil {
		c.stats.Close()
	}
}

package main

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/screen"
)

// A costMeter tells what this process takes.
type costMeter struct {
	source *probe.Source
	events func() uint64 // handed over so far
	at     time.Time
	cpu    time.Duration
	told   uint64
	bpf    time.Duration
}

// look returns what it took since the last look.
func (m *costMeter) look() screen.Cost {
	c := screen.Cost{Memory: resident()}
	var use unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &use) != nil {
		return c
	}
	now, cpu := time.Now(), time.Duration(use.Utime.Nano()+use.Stime.Nano())
	told := m.events()
	var bpf time.Duration
	if on, err := os.ReadFile("/proc/sys/kernel/bpf_stats_enabled"); err == nil && on[0] == '1' {
		_, bpf = m.source.RunTime()
	}
	if d := now.Sub(m.at); !m.at.IsZero() && d > 0 {
		c.CPU = float64(cpu-m.cpu) / float64(d)
		if n := told - m.told; n > 0 && m.bpf > 0 && bpf > m.bpf {
			c.BPF = (bpf - m.bpf) / time.Duration(n)
		}
	}
	m.at, m.cpu, m.told, m.bpf = now, cpu, told, bpf
	return c
}

// resident returns the bytes of memory that this process has in use; 0 where
// that is not known. It is the second number of /proc/self/statm, in pages.
func resident() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

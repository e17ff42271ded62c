package main

import (
	"bytes"
	"io"
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
	bpf    bpfMeter
}

// look returns what it took since the last look.
func (m *costMeter) look() screen.Cost {
	c := screen.Cost{Memory: resident()}
	var use unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &use) != nil {
		return c
	}
	now, cpu := time.Now(), time.Duration(use.Utime.Nano()+use.Stime.Nano())
	if d := now.Sub(m.at); !m.at.IsZero() && d > 0 {
		c.CPU = float64(cpu-m.cpu) / float64(d)
	}
	m.at, m.cpu = now, cpu
	c.BPF = m.bpf.look(m.source, m.events(), now)
	return c
}

func (m *costMeter) close() { m.bpf.close() }

// bpfEvery is how often the run time of the BPF programs is measured, which
// itself costs each run of any program of the host some 30 ns.
const bpfEvery = time.Minute

// A bpfMeter has the kernel measure the BPF programs between two looks, now and
// then.
type bpfMeter struct {
	on     io.Closer     // nil: nothing is measured
	begun  time.Time     // the last time
	ran    time.Duration // when it was begun
	events uint64        // likewise
	each   time.Duration // what was measured last, for an event
}

// look returns the run time for an event, as it was last measured; 0 where that is
// not known.
func (m *bpfMeter) look(source *probe.Source, events uint64, now time.Time) time.Duration {
	ran, _, err := source.Cost()
	if err != nil {
		return 0
	}
	if m.on != nil {
		if n := events - m.events; n > 0 && ran > m.ran {
			m.each = (ran - m.ran) / time.Duration(n)
		}
		m.close()
		return m.each
	}
	if m.begun.IsZero() || now.Sub(m.begun) >= bpfEvery || m.each == 0 && events > m.events {
		m.begun, m.ran, m.events = now, ran, events
		if on, err := probe.Measure(); err == nil {
			m.on = on
		}
	}
	return m.each
}

func (m *bpfMeter) close() {
	if m.on != nil {
		_ = m.on.Close()
		m.on = nil
	}
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

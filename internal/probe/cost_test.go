//go:build linux

package probe

import (
	"context"
	commandline "flag"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/lab"
)

// rate is that of BenchmarkHooks. An emulated machine keeps up with less.
var rate = commandline.Int("rate", 3000, "connections a second for the benchmark of the hooks")

var stacks = commandline.Bool("stacks", false, "keep the stacks of connect() and accept() in the benchmark of the hooks")

var seesCalls = commandline.Bool("calls", false, "see connect() and accept() return in the benchmark of the hooks")

var ringCount = commandline.Int("rings", 0, "ring buffers in the benchmark of the hooks; 0 is by the number of processors")

// BenchmarkHooks churns through real connections at a fixed rate and reports
// what the BPF programs cost: ns a connection in all, calls and ns of each by
// name. Some 30 to 80 ns of each call are the measurement itself. Run it with
// -benchtime=1x.
func BenchmarkHooks(b *testing.B) {
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		b.Skipf("BPF statistics need root: %v", err)
	}
	defer stats.Close()
	story, err := lab.Lookup("churn")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(Options{Hooks: commandline.Lookup("hooks").Value.String(), NoSweep: true, Stacks: *stacks, ExactAccept: *stacks, Errors: *seesCalls, Rings: *ringCount})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx, func(*event.Event) {}) }()
		truth, err := story.Run(b.Context(), lab.Params{Rate: *rate, Duration: 5 * time.Second})
		if err != nil {
			b.Fatal(err)
		}
		reportCost(b, s, truth.Count)
		cancel()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func reportCost(b *testing.B, s *Source, connections int) {
	var total time.Duration
	for name, program := range s.programs.collection.Programs {
		stats, err := program.Stats()
		if err != nil {
			b.Fatal(err)
		}
		if stats.RunCount == 0 {
			continue
		}
		total += stats.Runtime
		b.ReportMetric(float64(stats.RunCount)/float64(connections), name+"-calls/conn")
		b.ReportMetric(float64(stats.Runtime)/float64(stats.RunCount), name+"-ns")
	}
	b.ReportMetric(float64(total)/float64(connections), "BPF-ns/conn")
	b.ReportMetric(float64(connections), "conns")
}

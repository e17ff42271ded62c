//go:build linux

package probe

import (
	"fmt"
	"io"
	"time"

	"github.com/cilium/ebpf"
)

// Measure has the kernel measure how long BPF programs run, of all who have
// some, until the result is closed. That costs each run 30 to 50 ns.
func Measure() (io.Closer, error) {
	on, err := ebpf.EnableStats(bpfStatsRunTime)
	if err != nil {
		return nil, fmt.Errorf("measure the BPF programs: %w", explain(err))
	}
	return on, nil
}

const bpfStatsRunTime = 0 // enum bpf_stats_type: BPF_STATS_RUN_TIME

// Cost returns how long the hooks' programs ran since Open, on all CPUs, and how
// often, while the kernel measured it: 0 where it never did. Those that user
// space runs itself, the iterators, are in this process's own time. It is to be
// called from the goroutine of Run, as OnBatch is.
func (s *Source) Cost() (ran time.Duration, runs uint64, err error) {
	for name, p := range s.programs.collection.Programs {
		if s.programs.iterator(name) != nil {
			continue
		}
		stats, err := p.Stats()
		if err != nil {
			return 0, 0, fmt.Errorf("read what %s cost: %w", name, err)
		}
		ran += stats.Runtime
		runs += stats.RunCount
	}
	return ran, runs, nil
}

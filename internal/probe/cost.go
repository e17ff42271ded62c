//go:build linux

package probe

import "time"

// RunTime returns how often the BPF programs have run and for how long, in all.
// Both are 0 where the kernel does not measure it, which is the rule: it does so
// while sysctl kernel.bpf_stats_enabled is 1, and that costs each run some 30 ns.
// It is to be called from the goroutine of Run, as OnBatch is.
func (s *Source) RunTime() (runs uint64, took time.Duration) {
	for _, p := range s.programs.collection.Programs {
		stats, err := p.Stats()
		if err != nil {
			return 0, 0
		}
		runs += stats.RunCount
		took += stats.Runtime
	}
	return runs, took
}

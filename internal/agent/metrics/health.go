package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/tcptrace/tcptrace/internal/conn"
)

// Health is what tcptrace knows of how well it sees.
type Health struct {
	Tracker conn.Stats

	// CPU is what the BPF programs ran for, on all CPUs, and Runs how often;
	// 0 where the kernel does not measure that.
	CPU  time.Duration
	Runs uint64
}

// healthCollector tells of the Health that the last census had.
type healthCollector Metrics

var (
	trackedDesc = prometheus.NewDesc("tcptrace_tracked_sockets", "Sockets that are followed now, listeners included.", nil, nil)
	eventsDesc  = prometheus.NewDesc("tcptrace_events_total", "Events that the kernel side has handed over.", nil, nil)
	evictedDesc = prometheus.NewDesc("tcptrace_evicted_sockets_total", "Sockets no longer followed, because there were too many.", nil, nil)
	untoldDesc  = prometheus.NewDesc("tcptrace_untold_transitions_total",
		"Transitions that must have been, by what came after them, and that no event told of.", nil, nil)
	correctedDesc = prometheus.NewDesc("tcptrace_corrected_sockets_total",
		"Sockets that the kernel's tables show in another state than was believed, or not any more.", nil, nil)
	bpfDesc  = prometheus.NewDesc("tcptrace_bpf_cpu_seconds_total", "Time that tcptrace's BPF programs ran, where the kernel measures it (sysctl kernel.bpf_stats_enabled).", nil, nil)
	runsDesc = prometheus.NewDesc("tcptrace_bpf_runs_total", "How often they ran, where the kernel counts it.", nil, nil)
)

func (*healthCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{trackedDesc, eventsDesc, evictedDesc, untoldDesc, correctedDesc, bpfDesc, runsDesc} {
		ch <- d
	}
}

func (h *healthCollector) Collect(ch chan<- prometheus.Metric) {
	now := (*Metrics)(h).health.Load()
	if now == nil {
		return
	}
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64) {
		ch <- prometheus.MustNewConstMetric(d, t, v)
	}
	send(trackedDesc, prometheus.GaugeValue, float64(now.Tracker.Live))
	send(eventsDesc, prometheus.CounterValue, float64(now.Tracker.Events))
	send(evictedDesc, prometheus.CounterValue, float64(now.Tracker.Evicted))
	send(untoldDesc, prometheus.CounterValue, float64(now.Tracker.Missing))
	send(correctedDesc, prometheus.CounterValue, float64(now.Tracker.Corrected+now.Tracker.Vanished))
	if now.Runs > 0 {
		send(bpfDesc, prometheus.CounterValue, now.CPU.Seconds())
		send(runsDesc, prometheus.CounterValue, float64(now.Runs))
	}
}

// Gather has a census taken and returns all metrics. It may be called from any
// goroutine.
func (m *Metrics) Gather() ([]*dto.MetricFamily, error) {
	if m.options.Gather != nil {
		m.options.Gather()
	}
	return m.registry.Gather()
}

// Register adds metrics of another part of the agent, a few series. They count
// as tcptrace's own.
func (m *Metrics) Register(all ...prometheus.Collector) { m.registry.MustRegister(all...) }

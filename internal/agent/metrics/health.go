package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// Health is what tcptrace knows of how well it sees.
type Health struct {
	Tracker conn.Stats

	// CPU is what the BPF programs ran for, on all CPUs, and Runs how often;
	// 0 where the kernel does not measure that.
	CPU  time.Duration
	Runs uint64

	Load Load
}

// A Load is what tracing costs, and what is left out for that.
type Load struct {
	Limit, Cost float64 // CPU time a second, of one core; a limit of 0: none
	Left        event.Shedding

	// Events that were left out so far.
	Drops, Retransmits, Connections uint64
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
	bpfDesc    = prometheus.NewDesc("tcptrace_bpf_cpu_seconds_total", "Time that tcptrace's BPF programs ran, where the kernel measures it (sysctl kernel.bpf_stats_enabled).", nil, nil)
	limitDesc  = prometheus.NewDesc("tcptrace_cpu_limit_ratio", "What tracing may cost, of one core (--max-cpu).", nil, nil)
	costDesc   = prometheus.NewDesc("tcptrace_cpu_cost_ratio", "What tracing cost in the last window, of one core: this process and the BPF programs.", nil, nil)
	leftDesc   = prometheus.NewDesc("tcptrace_shedding", "1 where this is left out now to save what it costs (--max-cpu): drops, retransmit_details, connections.", []string{"what"}, nil)
	shedDesc   = prometheus.NewDesc("tcptrace_shed_events_total", "Events left out to save what they cost.", []string{"what"}, nil)
	sampleDesc = prometheus.NewDesc("tcptrace_sampled_connections_ratio", "The part of all connections that is looked at. Below 1, what is counted of connections is an estimate.", nil, nil)

	runsDesc = prometheus.NewDesc("tcptrace_bpf_runs_total", "How often they ran, where the kernel counts it.", nil, nil)
)

func (*healthCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{trackedDesc, eventsDesc, evictedDesc, untoldDesc, correctedDesc, bpfDesc, runsDesc, limitDesc, costDesc, leftDesc, shedDesc, sampleDesc} {
		ch <- d
	}
}

func (h *healthCollector) Collect(ch chan<- prometheus.Metric) {
	now := (*Metrics)(h).health.Load()
	if now == nil {
		return
	}
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
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
	if l := &now.Load; l.Limit > 0 {
		send(limitDesc, prometheus.GaugeValue, l.Limit)
		send(costDesc, prometheus.GaugeValue, l.Cost)
		send(sampleDesc, prometheus.GaugeValue, 1/float64(l.Left.Weight()))
		for _, w := range []struct {
			what   string
			left   bool
			events uint64
		}{
			{"drops", l.Left.Drops, l.Drops}, {"retransmit_details", l.Left.Retransmits, l.Retransmits},
			{"connections", l.Left.Sockets > 0, l.Connections},
		} {
			now := 0.0
			if w.left {
				now = 1
			}
			send(leftDesc, prometheus.GaugeValue, now, w.what)
			send(shedDesc, prometheus.CounterValue, float64(w.events), w.what)
		}
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

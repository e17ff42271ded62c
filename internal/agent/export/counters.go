package export

import "github.com/prometheus/client_golang/prometheus"

// Why a record was dropped.
const (
	queueFull   = "queue_full"
	refused     = "refused"     // the collector answered that it will not take it
	unreachable = "unreachable" // it did not answer for too long
	shutDown    = "shutdown"    // the agent ended, or was given another collector
)

// Counters count what was sent and what was not. They outlive exporters.
type Counters struct {
	sent    prometheus.Counter
	dropped *prometheus.CounterVec
	queued  prometheus.Gauge
	pushes  *prometheus.CounterVec
}

// NewCounters returns Counters that are yet to be registered.
func NewCounters() *Counters {
	c := &Counters{
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tcptrace_export_records_sent_total", Help: "Log records, of connections and findings, that the collector has taken.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tcptrace_export_records_dropped_total", Help: "Log records that were not sent, by why.",
		}, []string{"reason"}),
		queued: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tcptrace_export_records_queued", Help: "Log records that wait for the collector, or are being sent.",
		}),
		pushes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tcptrace_export_metric_pushes_total", Help: "Sendings of all metrics, by result.",
		}, []string{"result"}),
	}
	for _, reason := range []string{queueFull, refused, unreachable, shutDown} {
		c.dropped.WithLabelValues(reason)
	}
	c.pushes.WithLabelValues("ok")
	c.pushes.WithLabelValues("failed")
	return c
}

// Collectors returns them, to be registered.
func (c *Counters) Collectors() []prometheus.Collector {
	return []prometheus.Collector{c.sent, c.dropped, c.queued, c.pushes}
}

package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
)

// maxFindings bounds the series of findings: the rest of a rule's are one.
const maxFindings = 128

// A finding is one series: the findings of one rule, severity and process.
type finding struct {
	values []string
	count  float64
}

var findingLabels = []string{"rule", "severity", "process", "container"}

var findingsDesc = prometheus.NewDesc("tcptrace_findings",
	"What \"tcptrace why\" finds now, by rule (docs/findings.md): the count of what the rule counts, connections as a rule.", findingLabels, nil)

// Findings sets the findings that there are now, the worst first.
func (m *Metrics) Findings(all []diagnose.Finding) {
	var series []finding
	at := map[string]int{}
	add := func(count float64, values ...string) {
		id := strings.Join(values, "\x00")
		i, ok := at[id]
		if !ok {
			i = len(series)
			at[id] = i
			series = append(series, finding{values: values})
		}
		series[i].count += count
	}
	for i := range all {
		f := &all[i]
		process, container := taskNames(&f.Process.Task)
		if len(series) >= maxFindings-3*len(diagnose.Rules()) {
			process, container = other, other
		}
		add(float64(f.Count), f.Rule.Name, f.Severity.String(), process, container)
	}
	m.findings.Store(&series)
}

func taskNames(t *event.Task) (process, container string) {
	if !t.Known() {
		return unknown, unknown
	}
	process = strings.ToValidUTF8(strings.TrimRight(string(t.Comm[:]), "\x00"), "\ufffd")
	container = none
	if t.Label != nil && t.Label.Container != "" {
		container = strings.ToValidUTF8(t.Label.Container[:min(len(t.Label.Container), 12)], "\ufffd")
	}
	return named(process), container
}

type findingCollector Metrics

func (*findingCollector) Describe(ch chan<- *prometheus.Desc) { ch <- findingsDesc }

func (f *findingCollector) Collect(ch chan<- prometheus.Metric) {
	series := (*Metrics)(f).findings.Load()
	if series == nil {
		return
	}
	for i := range *series {
		s := &(*series)[i]
		ch <- prometheus.MustNewConstMetric(findingsDesc, prometheus.GaugeValue, s.count, s.values...)
	}
}

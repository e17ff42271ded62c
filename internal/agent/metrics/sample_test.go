package metrics

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
)

// Where of four connections one is told of, it counts as four, in counters and in
// histograms, and it is said how much is an estimate.
func TestMetrics_OneOfASampleCountsForAll(t *testing.T) {
	exact := newMetrics(t, options())
	o := options()
	o.Left = func(event.Time) event.Shedding { return event.Shedding{Drops: true, Retransmits: true, Sockets: 2} }
	scaled := newMetrics(t, o)
	for _, m := range []*Metrics{exact, scaled} {
		story.Tell(story.Plain(), 80e9, m.Show)
	}
	values := func(m *Metrics) map[string]float64 {
		all := map[string]float64{}
		families, err := m.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, s := range f.Metric {
				all[f.GetName()] += s.Counter.GetValue() + float64(s.Histogram.GetSampleCount())
			}
		}
		return all
	}
	one, four := values(exact), values(scaled)
	for _, name := range []string{
		"tcptrace_connections_ended_total", "tcptrace_state_duration_seconds", "tcptrace_handshake_duration_seconds", "tcptrace_time_wait_ended_total",
	} {
		if one[name] == 0 || four[name] != 4*one[name] {
			t.Errorf("%s: %v, want four times %v", name, four[name], one[name])
		}
	}
	if one["tcptrace_estimated_total"] != 0 || four["tcptrace_estimated_total"] == 0 {
		t.Errorf("estimated: %v and %v", one["tcptrace_estimated_total"], four["tcptrace_estimated_total"])
	}
}

// The distribution tells what client_golang's histogram tells of the same.
func TestDistribution_IsClientGolangsHistogram(t *testing.T) {
	f := &family{name: "x_seconds", help: "X.", kind: histogram, buckets: stayBuckets}
	theirs := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: f.name, Help: f.help, Buckets: f.buckets, NativeHistogramBucketFactor: 1.1, NativeHistogramZeroThreshold: zeroThreshold,
	})
	all := newDistributions(f, nil, Both)
	ours := all.with(nil)
	random := rand.New(rand.NewPCG(1, 2))
	for range 2003 {
		seconds := random.ExpFloat64() * []float64{0, 1e-7, 1e-4, 1, 3000}[random.IntN(5)]
		times := random.Uint64N(3) + 1
		ours.observe(seconds, times, f.bucket(seconds), nil)
		for range times {
			theirs.Observe(seconds)
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(all)
	got, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var want dto.Metric
	if err := theirs.Write(&want); err != nil {
		t.Fatal(err)
	}
	about := cmp.Options{
		cmpopts.EquateApprox(1e-9, 0), cmpopts.IgnoreUnexported(dto.Histogram{}, dto.Bucket{}, dto.BucketSpan{}),
		cmpopts.IgnoreFields(dto.Histogram{}, "CreatedTimestamp", "PositiveSpan", "PositiveDelta"),
	}
	if diff := cmp.Diff(sparse(want.Histogram), sparse(got[0].Metric[0].Histogram)); diff != "" {
		t.Errorf("native buckets (-client_golang +ours):\n%s", diff)
	}
	if diff := cmp.Diff(want.Histogram, got[0].Metric[0].Histogram, about); diff != "" {
		t.Errorf("(-client_golang +ours):\n%s", diff)
	}
}

// sparse returns the native buckets that are not empty, by their index.
func sparse(h *dto.Histogram) map[int32]int64 {
	all := map[int32]int64{}
	at, n, next := int32(0), int64(0), 0
	for _, span := range h.PositiveSpan {
		at += span.GetOffset()
		for range span.GetLength() {
			n += h.PositiveDelta[next]
			if n != 0 {
				all[at] = n
			}
			at, next = at+1, next+1
		}
	}
	return all
}

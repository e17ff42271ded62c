package metrics

import (
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A distribution counts lengths of time, in seconds. Unlike client_golang's it can
// count one length many times at once, which is what one connection of a sample
// stands for. It is fed and read by any goroutine.
type distribution struct {
	desc    *prometheus.Desc
	labels  []*dto.LabelPair
	bounds  []float64 // of the classic buckets; nil: there are none
	native  bool
	created *timestamppb.Timestamp

	mu        sync.Mutex
	count     uint64
	sum       float64
	classic   []uint64         // by bucket, +Inf last
	zero      uint64           // at most zeroThreshold
	sparse    map[int32]uint64 // native buckets: i is up to growth^i
	exemplars []*dto.Exemplar  // by bucket; nil where there is none
}

// Native buckets of schema 3 grow by 2^(1/8), so a quantile is right within 5 %.
// Lengths of time between the two bounds fall into 296 of them.
const (
	schema        = 3
	perDoubling   = 1 << schema
	zeroThreshold = 1.0 / (1 << 20) // a microsecond
	maxLength     = 1 << 17         // 36 hours
)

func (h *distribution) observe(seconds float64, times uint64, bucket int, exemplar *dto.Exemplar) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count += times
	h.sum += seconds * float64(times)
	h.classic[bucket] += times
	if exemplar != nil {
		h.exemplars[bucket] = exemplar
	}
	switch {
	case !h.native:
	case seconds <= zeroThreshold:
		h.zero += times
	default:
		h.sparse[int32(math.Ceil(math.Log2(min(seconds, maxLength))*perDoubling))] += times
	}
}

// Desc and Write make it a prometheus.Metric.
func (h *distribution) Desc() *prometheus.Desc { return h.desc }

func (h *distribution) Write(to *dto.Metric) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := &dto.Histogram{SampleCount: new(h.count), SampleSum: new(h.sum), CreatedTimestamp: h.created}
	var below uint64
	for i, upper := range h.bounds {
		below += h.classic[i]
		out.Bucket = append(out.Bucket, &dto.Bucket{CumulativeCount: new(below), UpperBound: new(upper), Exemplar: h.exemplars[i]})
	}
	if x := h.exemplars[len(h.exemplars)-1]; x != nil && h.bounds != nil {
		out.Bucket = append(out.Bucket, &dto.Bucket{CumulativeCount: new(h.count), UpperBound: new(math.Inf(1)), Exemplar: x})
	}
	if h.native {
		out.Schema, out.ZeroThreshold, out.ZeroCount = new(int32(schema)), new(zeroThreshold), new(h.zero)
		out.PositiveSpan, out.PositiveDelta = spans(h.sparse)
		for _, x := range h.exemplars {
			if x != nil {
				out.Exemplars = append(out.Exemplars, x)
			}
		}
	}
	to.Label, to.Histogram = h.labels, out
	return nil
}

// spans returns native buckets as the exposition format has them: runs without a
// gap, and each count as the difference to the one before. None at all is one
// empty run, by which readers know a native histogram.
func spans(sparse map[int32]uint64) (runs []*dto.BucketSpan, deltas []int64) {
	if len(sparse) == 0 {
		return []*dto.BucketSpan{{Offset: new(int32(0)), Length: new(uint32(0))}}, nil
	}
	next, before := int32(0), int64(0)
	for _, i := range slices.Sorted(maps.Keys(sparse)) {
		if len(runs) == 0 || i != next {
			runs = append(runs, &dto.BucketSpan{Offset: new(i - next), Length: new(uint32(0))})
		}
		*runs[len(runs)-1].Length++
		n := int64(sparse[i])
		deltas = append(deltas, n-before)
		next, before = i+1, n
	}
	return runs, deltas
}

// distributions are those of one family, by the values of their labels.
type distributions struct {
	desc   *prometheus.Desc
	bounds []float64
	kinds  Histograms

	mu  sync.Mutex
	all map[string]*distribution
}

func newDistributions(f *family, labels []string, kinds Histograms) *distributions {
	return &distributions{
		desc: prometheus.NewDesc(f.name, f.help, labels, nil), bounds: f.buckets, kinds: kinds, all: map[string]*distribution{},
	}
}

func (v *distributions) with(values []string) *distribution {
	h := &distribution{desc: v.desc, labels: prometheus.MakeLabelPairs(v.desc, values), created: timestamppb.New(time.Now())}
	h.classic = make([]uint64, len(v.bounds)+1)
	h.exemplars = make([]*dto.Exemplar, len(v.bounds)+1)
	if v.kinds != Native {
		h.bounds = v.bounds
	}
	if v.kinds != Classic {
		h.native, h.sparse = true, map[int32]uint64{}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.all[strings.Join(values, "\x00")] = h
	return h
}

func (v *distributions) remove(values []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.all, strings.Join(values, "\x00"))
}

// Describe and Collect make it a prometheus.Collector.
func (v *distributions) Describe(ch chan<- *prometheus.Desc) { ch <- v.desc }

func (v *distributions) Collect(ch chan<- prometheus.Metric) {
	v.mu.Lock()
	all := slices.Collect(maps.Values(v.all))
	v.mu.Unlock()
	for _, h := range all {
		ch <- h
	}
}

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
	created *timestamppb.Timestamp

	mu        sync.Mutex
	count     uint64
	sum       float64
	classic   []uint64           // by bucket, +Inf last
	zero      uint64             // at most zeroThreshold
	sparse    *[numSparse]uint64 // native buckets: i is up to growth^(i+leastSparse); nil: there are none
	exemplars []*dto.Exemplar    // by bucket; nil where there is none
}

// Native buckets of schema 3 grow by 2^(1/8), so a quantile is right within 5 %.
// Lengths of time between the two bounds fall into 296 of them.
const (
	schema        = 3
	perDoubling   = 1 << schema
	leastLog      = -20
	mostLog       = 17
	zeroThreshold = 1.0 / (1 << -leastLog) // a microsecond
	maxLength     = 1 << mostLog           // 36 hours

	leastSparse = leastLog*perDoubling + 1
	numSparse   = (mostLog - leastLog) * perDoubling
)

// fractions are the upper bounds of native buckets between 1/2 and 1.
var fractions = func() (all [perDoubling]float64) {
	for i := range all {
		all[i] = math.Exp2(float64(i)/perDoubling - 1)
	}
	return all
}()

// native returns the native bucket of a length above zeroThreshold.
func native(seconds float64) int {
	frac, exp := math.Frexp(min(seconds, maxLength))
	i := 0
	for i < perDoubling && frac > fractions[i] {
		i++
	}
	return (exp-1)*perDoubling + i
}

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
	case h.sparse == nil:
	case seconds <= zeroThreshold:
		h.zero += times
	default:
		h.sparse[native(seconds)-leastSparse] += times
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
	if h.sparse != nil {
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
func spans(sparse *[numSparse]uint64) (runs []*dto.BucketSpan, deltas []int64) {
	next, before := int32(0), int64(0)
	for at, count := range sparse {
		if count == 0 {
			continue
		}
		i, n := int32(at+leastSparse), int64(count)
		if len(runs) == 0 || i != next {
			runs = append(runs, &dto.BucketSpan{Offset: new(i - next), Length: new(uint32(0))})
		}
		*runs[len(runs)-1].Length++
		deltas = append(deltas, n-before)
		next, before = i+1, n
	}
	if len(runs) == 0 {
		runs = []*dto.BucketSpan{{Offset: new(int32(0)), Length: new(uint32(0))}}
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
		h.sparse = new([numSparse]uint64)
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

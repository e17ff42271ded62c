package metrics

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/tcptrace/tcptrace/internal/event"
)

// Histograms says in which of Prometheus's two ways a distribution is kept.
type Histograms string

const (
	Both    Histograms = "both"
	Native  Histograms = "native"  // exponential buckets; only scrapers that ask for protobuf see them
	Classic Histograms = "classic" // fixed buckets
)

// Options say what series there are.
type Options struct {
	Version string // of tcptrace

	// Labels tell subjects apart: some of Labels(). An empty list leaves one
	// subject for the whole host.
	Labels []string

	// MaxSeries bounds the series of a scrape, as text and with one more for
	// each native histogram. It is at least MinSeries.
	MaxSeries int

	// Expire is after how long a subject with no sockets, and of which nothing
	// was heard, loses its series. Where the budget is used up it is a minute
	// at most.
	Expire time.Duration

	Histograms Histograms

	// Gather, if set, is called before each gathering, and may wait until the
	// census has been taken.
	Gather func()

	// Left, if set, returns what was left out at a time, and LeftOpen by what
	// the connections that are open at the present stand for all.
	Left, LeftOpen func(event.Time) event.Shedding
}

const (
	// DefaultMaxSeries is the default budget.
	DefaultMaxSeries = 2000
	// DefaultExpire is the default of Options.Expire.
	DefaultExpire = 15 * time.Minute

	squeezedExpire = time.Minute
	numSockets     = 10 // len(socketStates)

	// ownSeries is room for what tcptrace tells of itself: process_* and the
	// metrics of health.go.
	ownSeries = 64
)

// MinSeries is the least budget: what "other" and tcptrace's own metrics can
// take, and some.
func MinSeries(h Histograms) int {
	families := newFamilies()
	return reserve(&families, h) + 100
}

// reserve is what is kept for the series that must have room: all that other
// can have, the findings and our own.
func reserve(families *[numFamilies]family, h Histograms) int {
	n := ownSeries + maxFindings
	for i := range families {
		n += families[i].slots() * families[i].weight(h)
	}
	return n
}

type listenPort struct {
	netns uint32
	port  uint16
}

// Metrics keeps the series. But for Gather and what says otherwise, one
// goroutine uses it.
type Metrics struct {
	options  Options
	by       struct{ role, port, process, container, unit bool }
	families [numFamilies]family
	vectors  [numFamilies]vector
	slots    int

	limit    int // of series that subjects other than other may have
	used     int // by them
	subjects map[key]*subject
	met      [16]metSubject // of these
	other    *subject
	squeezed event.Time

	// listeners knows whose the ports are that are listened on.
	listeners map[listenPort]*event.Task

	registry   *prometheus.Registry
	expired    prometheus.Counter
	overflowed prometheus.Counter
	estimated  prometheus.Counter
	lost       *prometheus.CounterVec
	series     prometheus.Gauge
	health     atomic.Pointer[Health]
	findings   atomic.Pointer[[]finding]
}

// New returns Metrics in a registry of their own, or an error that says what is
// wrong with the options.
func New(o Options) (*Metrics, error) {
	m := &Metrics{options: o, families: newFamilies(), subjects: map[key]*subject{}, listeners: map[listenPort]*event.Task{}}
	for _, l := range o.Labels {
		switch l {
		case LabelRole:
			m.by.role = true
		case LabelPort:
			m.by.port = true
		case LabelProcess:
			m.by.process = true
		case LabelContainer:
			m.by.container = true
		case LabelUnit:
			m.by.unit = true
		default:
			return nil, fmt.Errorf("label %q is not known; write some of %v", l, Labels())
		}
	}
	if least := MinSeries(o.Histograms); o.MaxSeries < least {
		return nil, fmt.Errorf("a budget of %d series is too small: with %s histograms, what must always have room takes %d; write %d or more",
			o.MaxSeries, o.Histograms, reserve(&m.families, o.Histograms), least)
	}
	m.limit = o.MaxSeries - reserve(&m.families, o.Histograms)
	m.registry = prometheus.NewRegistry()
	for i := range m.families {
		f := &m.families[i]
		m.slots += f.slots()
		m.vectors[i] = f.vector(o.Labels, o.Histograms)
		m.registry.MustRegister(m.vectors[i].collector())
	}
	m.other = &subject{children: make([]child, m.slots)}
	for range o.Labels {
		m.other.values = append(m.other.values, other)
	}
	m.registerOwn()
	return m, nil
}

// registerOwn makes the metrics that tell of tcptrace itself.
func (m *Metrics) registerOwn() {
	m.expired = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "tcptrace_series_expired_total",
		Help: "Series let go of, because nothing more was heard of whom they were about.",
	})
	m.overflowed = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "tcptrace_series_overflow_total",
		Help: `What was counted under the labels "other", because the budget of series (--max-series) had no room.`,
	})
	m.estimated = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "tcptrace_estimated_total",
		Help: "What was counted for connections that were left out (--max-cpu), by those that were not. 0: all counts are exact.",
	})
	m.series = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tcptrace_series", Help: "Series that there are, of those that the budget bounds.",
	})
	limit := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tcptrace_series_limit", Help: "The most series that there can be (--max-series).",
	})
	limit.Set(float64(m.options.MaxSeries))
	m.lost = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tcptrace_lost_events_total",
		Help: "Events that the kernel side could not hand over, by kind: what they would have told is missing here.",
	}, []string{"kind"})
	for k := event.State; k < event.NumKinds; k++ {
		if told(k) {
			m.lost.WithLabelValues(k.String())
		}
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tcptrace_build_info", Help: "1; the label says which tcptrace this is.",
		ConstLabels: prometheus.Labels{"version": m.options.Version},
	})
	info.Set(1)
	m.registry.MustRegister(m.expired, m.overflowed, m.estimated, m.series, limit, m.lost, info, (*healthCollector)(m), (*findingCollector)(m),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{Namespace: "tcptrace"}))
}

// told reports whether events of kind k can be lost: what user space makes
// cannot.
func told(k event.Kind) bool {
	return !slices.Contains([]event.Kind{event.Lost, event.Seen, event.Swept}, k)
}

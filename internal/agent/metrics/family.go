package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A kind is what a family's series are.
type kind uint8

const (
	counter kind = iota
	gauge
	histogram
)

// A family is a metric that each subject has, once for each of its variants.
// Variants are listed here, all of them, so that the room that they can take is
// known before anything happens.
type family struct {
	name, help string
	kind       kind
	extra      []string   // labels beside the subject's
	variants   [][]string // values of extra
	buckets    []float64  // upper bounds, seconds

	first int // slot of the first variant
}

// slots of a family are first, first+1, ... in the order of its variants.
func (f *family) slots() int { return len(f.variants) }

// weight is how many series one variant is: of a histogram, as text, its
// buckets with +Inf, sum and count, and the native one, which is a series of
// its own where a scraper takes both.
func (f *family) weight(h Histograms) int {
	switch {
	case f.kind != histogram:
		return 1
	case h == Native:
		return 4 // +Inf, sum and count as text; the native one
	case h == Classic:
		return len(f.buckets) + 3
	}
	return len(f.buckets) + 4
}

var (
	stayBuckets  = []float64{0.001, 0.01, 0.1, 1, 10, 100, 1000}
	shortBuckets = []float64{0.0001, 0.001, 0.01, 0.1, 1, 10}
	noVariant    = [][]string{nil}
)

// The families, by what they count.
const (
	sockets = iota
	stays
	staysInexact
	connections
	timeWaitEnds
	resets
	retransmits
	episodes
	episodeLengths
	handshakes
	acceptWaits
	connectFailures
	acceptFailures
	queueOverflows

	numFamilies
)

func newFamilies() [numFamilies]family {
	all := [numFamilies]family{
		sockets: {
			name: "tcptrace_sockets", kind: gauge, extra: []string{"state"}, variants: oneByOne(socketStates),
			help: "Sockets in each state now, request and timewait sockets included, as of the scrape.",
		},
		stays: {
			name: "tcptrace_state_duration_seconds", kind: histogram, extra: []string{"state"}, variants: oneByOne(stayStates),
			buckets: stayBuckets,
			help:    "Time that a connection spent in a state, observed as it leaves it. Only of stays whose begin was seen.",
		},
		staysInexact: {
			name: "tcptrace_state_durations_unknown_total", extra: []string{"state"}, variants: oneByOne(stayStates),
			help: "Stays in a state that ended and are not in tcptrace_state_duration_seconds, since their begin was not seen.",
		},
		connections: {
			name: "tcptrace_connections_ended_total", extra: []string{"end"}, variants: oneByOne(endNames()),
			help: "Connections that ended, TIME_WAIT included, by how.",
		},
		timeWaitEnds: {
			name: "tcptrace_time_wait_ended_total", extra: []string{"cause"}, variants: oneByOne(causeNames()),
			help: "Connections that left TIME_WAIT, by why.",
		},
		resets: {
			name: "tcptrace_resets_total", extra: []string{"direction", "cause"}, variants: resetVariants(),
			help: "RSTs sent and received, by why they were sent (docs/resets.md).",
		},
		retransmits: {
			name: "tcptrace_retransmitted_segments_total", extra: []string{"class"}, variants: oneByOne(classNames()),
			help: "Segments sent again, as the kernel's RetransSegs counts them, by class (docs/retransmits.md).",
		},
		episodes: {
			name: "tcptrace_loss_episodes_total", extra: []string{"outcome"}, variants: oneByOne([]string{"recovered", "failed", "unknown"}),
			help: "Loss episodes that are over: times in which a connection had to send again.",
		},
		episodeLengths: {
			name: "tcptrace_loss_episode_duration_seconds", kind: histogram, variants: noVariant, buckets: stayBuckets,
			help: "Time that a loss episode cost its connection; where its end was not seen, until the last segment sent again.",
		},
		handshakes: {
			name: "tcptrace_handshake_duration_seconds", kind: histogram, variants: noVariant, buckets: shortBuckets,
			help: "Time from the first SYN, sent or received, to ESTABLISHED, of handshakes that succeeded.",
		},
		acceptWaits: {
			name: "tcptrace_accept_wait_seconds", kind: histogram, variants: noVariant, buckets: shortBuckets,
			help: "Time that an established connection waited for accept(); where accept() itself is seen (tcptrace doctor).",
		},
		connectFailures: {
			name: "tcptrace_connect_failures_total", extra: []string{"errno"}, variants: oneByOne(errnoNames()),
			help: "Connections that failed before they were established, and calls of connect() that made none, by error.",
		},
		acceptFailures: {
			name: "tcptrace_accept_failures_total", extra: []string{"errno"}, variants: oneByOne(errnoNames()),
			help: "Calls of accept() that failed, by error; with --failed-calls.",
		},
		queueOverflows: {
			name: "tcptrace_listen_queue_overflows_total", extra: []string{"queue"}, variants: oneByOne([]string{"accept", "syn"}),
			help: "Packets that met a full queue of a listener: ACKs of handshakes (accept), SYNs (syn).",
		},
	}
	slot := 0
	for i := range all {
		all[i].first = slot
		slot += all[i].slots()
	}
	return all
}

func oneByOne(values []string) [][]string {
	var all [][]string
	for _, v := range values {
		all = append(all, []string{v})
	}
	return all
}

// socketStates are those that a socket which exists can be in, and stayStates
// those of a connection. The order is that of tcp.State.
var (
	socketStates = stateNames(tcp.Established, tcp.SynSent, tcp.SynRecv, tcp.FinWait1, tcp.FinWait2, tcp.TimeWait,
		tcp.CloseWait, tcp.LastAck, tcp.Listen, tcp.Closing)
	stayStates = slices.DeleteFunc(slices.Clone(socketStates), func(s string) bool { return s == tcp.Listen.String() })

	socketVariant = variantsByState(socketStates)
	stayVariant   = variantsByState(stayStates)
)

func stateNames(states ...tcp.State) (names []string) {
	for _, s := range states {
		names = append(names, s.String())
	}
	return names
}

// variantsByState gives each state's place in names, or -1.
func variantsByState(names []string) (at [tcp.NumStates]int) {
	for s := range tcp.State(tcp.NumStates) {
		at[s] = slices.Index(names, s.String())
	}
	return at
}

// unknown stands for an empty name.
func named(name string) string {
	if name == "" {
		return unknown
	}
	return name
}

func endNames() (names []string) {
	for e := conn.EndUnknown; e <= conn.EndUnsent; e++ {
		names = append(names, named(e.String()))
	}
	return names
}

func causeNames() (names []string) {
	for c := event.CauseUnknown; c <= event.CauseUnseen; c++ {
		names = append(names, named(c.String()))
	}
	return names
}

func classNames() (names []string) {
	for c := range conn.NumClasses {
		names = append(names, c.String())
	}
	return names
}

// resetVariants are all sent ones and then all received ones, each by cause.
// No cause at all is an unknown one.
func resetVariants() (all [][]string) {
	for _, direction := range []string{"sent", "received"} {
		for c := conn.ResetCauseUnknown; c <= conn.ResetFirewall; c++ {
			all = append(all, []string{direction, c.String()})
		}
	}
	return all
}

func resetVariant(received bool, cause conn.ResetCause) int {
	v := int(max(cause, conn.ResetCauseUnknown) - conn.ResetCauseUnknown)
	if received {
		v += int(conn.ResetFirewall-conn.ResetCauseUnknown) + 1
	}
	return v
}

// errnos are those with a series of their own; all others share one.
var errnos = []event.Errno{
	event.ECONNREFUSED, event.ETIMEDOUT, event.EHOSTUNREACH, event.ENETUNREACH, event.EADDRNOTAVAIL,
	event.ECONNRESET, event.ECONNABORTED, event.EMFILE, event.ENFILE, event.ENETDOWN, event.EPIPE,
}

func errnoNames() (names []string) {
	for _, e := range errnos {
		names = append(names, e.String())
	}
	return append(names, other)
}

func errnoVariant(e event.Errno) int {
	if i := slices.Index(errnos, e); i >= 0 {
		return i
	}
	return len(errnos)
}

// A vector is a family's series as client_golang keeps them.
type vector struct {
	counters   *prometheus.CounterVec
	gauges     *prometheus.GaugeVec
	histograms *distributions
}

func (v *vector) collector() prometheus.Collector {
	switch {
	case v.counters != nil:
		return v.counters
	case v.gauges != nil:
		return v.gauges
	}
	return v.histograms
}

func (v *vector) remove(values []string) {
	switch {
	case v.counters != nil:
		v.counters.DeleteLabelValues(values...)
	case v.gauges != nil:
		v.gauges.DeleteLabelValues(values...)
	default:
		v.histograms.remove(values)
	}
}

func (f *family) vector(labels []string, h Histograms) vector {
	labels = append(slices.Clone(f.extra), labels...)
	switch f.kind {
	case counter:
		return vector{counters: prometheus.NewCounterVec(prometheus.CounterOpts{Name: f.name, Help: f.help}, labels)}
	case gauge:
		return vector{gauges: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: f.name, Help: f.help}, labels)}
	}
	return vector{histograms: newDistributions(f, labels, h)}
}

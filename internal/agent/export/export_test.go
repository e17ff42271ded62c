package export

import (
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

func options(protocol, address string) Options {
	return Options{
		Endpoint: "http://" + address, Protocol: protocol, Send: Signals(), Queue: DefaultQueue, Patience: DefaultPatience,
		Every: time.Hour, Version: "1.2.3", Host: "web1", HostID: "0123456789abcdef",
	}
}

func newExporter(t *testing.T, o Options) (*Exporter, *Counters) {
	t.Helper()
	counters, registry := NewCounters(), prometheus.NewRegistry()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "waits_seconds", Help: "Waits.", NativeHistogramBucketFactor: 1.1})
	h.Observe(0.25)
	registry.MustRegister(append(counters.Collectors(), h)...)
	x, err := New(o, registry, counters, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	x.Clock(story.Clock)
	return x, counters
}

// tell hands over the ends of connections.
func tell(x *Exporter, events []event.Event) {
	story.Tell(events, 80*time.Second, func(c *conn.Change) {
		if c.Kind == conn.Ended && c.Conn.Closed != 0 {
			x.Connection(c, 1)
		}
	})
}

// lives makes n connections that end.
func lives(n int) (events []event.Event) {
	for i := range n {
		c := story.NewSocket(uint64(i)+1, "10.0.0.1:40000", "10.9.8.7:443")
		at := time.Second + time.Duration(i)*time.Microsecond
		events = append(events, story.Join(
			c.Connect(at, 100*time.Microsecond, story.Task(7, "curl")),
			story.Failed(event.ECONNRESET, c.State(at+200*time.Microsecond, tcp.Established, tcp.Close)),
		)...)
	}
	return events
}

func value(c prometheus.Metric) float64 {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		panic(err)
	}
	return m.Counter.GetValue() + m.Gauge.GetValue()
}

func (c *Counters) lost() (n float64) {
	for _, reason := range []string{queueFull, refused, unreachable, shutDown} {
		n += value(c.dropped.WithLabelValues(reason))
	}
	return n
}

func eachProtocol(t *testing.T, test func(t *testing.T, protocol string)) {
	for _, protocol := range []string{HTTP, GRPC} {
		t.Run(protocol, func(t *testing.T) { test(t, protocol) })
	}
}

func TestExporter_AConnectionAsARecord(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol string) {
		r := receive(t, protocol, "127.0.0.1:0", 0)
		x, _ := newExporter(t, options(protocol, r.address))
		tell(x, story.Plain())
		x.Close(time.Minute)
		if len(r.logs) != 2 {
			t.Fatalf("%d records, want one for each end", len(r.logs))
		}
		server, client := r.logs[0], r.logs[1]
		if server.EventName != "tcptrace.connection" || client.Body.GetStringValue() != "client curl[4242] 10.0.0.1:40000 10.9.8.7:443 fin" {
			t.Errorf("the event is %q, the body %q", server.EventName, client.Body.GetStringValue())
		}
		if at := story.Clock.Boot.Add(76345 * time.Millisecond); client.TimeUnixNano != uint64(at.UnixNano()) {
			t.Errorf("the time is %d, want that of the end, %d", client.TimeUnixNano, at.UnixNano())
		}
		want := map[string]string{
			"network.transport": "tcp", "network.type": "ipv4",
			"network.local.address": "10.0.0.1", "network.local.port": "40000", "network.peer.address": "10.9.8.7", "network.peer.port": "443",
			"tcptrace.conn": "1a5cd", "tcptrace.netns": "4026531840", "tcptrace.role": "client", "tcptrace.via": "connect",
			"process.pid": "4242", "process.comm": "curl", "process.uid": "0",
			"tcptrace.opened_unix_ns": "1778976001000000000", "tcptrace.closed_unix_ns": "1778976076345000000", "tcptrace.lifetime_ns": "75345000000",
			"tcptrace.durations_ns.SYN_SENT": "400000", "tcptrace.durations_ns.ESTABLISHED": "1999600000", "tcptrace.durations_ns.FIN_WAIT1": "20000",
			"tcptrace.durations_ns.FIN_WAIT2": "12344985000", "tcptrace.durations_ns.TIME_WAIT": "60999995000",
			"tcptrace.isn_sent": "3735928559", "tcptrace.isn_received": "4277009102",
			"tcptrace.end": "fin", "tcptrace.complete": "true",
		}
		got := attributes(client)
		want["log.record.uid"] = got["log.record.uid"] // see TestExporter_NoneLostNoneDoubled
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		about := map[string]string{
			"service.name": "tcptrace", "service.version": "1.2.3", "host.name": "web1", "host.id": "0123456789abcdef", "service.instance.id": "0123456789abcdef",
		}
		if diff := cmp.Diff(about, r.about); diff != "" {
			t.Error(diff)
		}
	})
}

// uids counts the records that are not told apart from another.
func (r *receiver) uids() (all map[string]int) {
	all = map[string]int{}
	for _, l := range r.logs {
		for _, a := range l.Attributes {
			if a.Key == "log.record.uid" {
				all[a.Value.GetStringValue()]++
			}
		}
	}
	return all
}

func TestExporter_NoneLostNoneDoubled(t *testing.T) {
	const n = 5003
	eachProtocol(t, func(t *testing.T, protocol string) {
		r := receive(t, protocol, "127.0.0.1:0", 0)
		x, counters := newExporter(t, options(protocol, r.address))
		tell(x, lives(n))
		x.Close(time.Minute)
		if len(r.logs) != n || len(r.uids()) != n {
			t.Errorf("%d records with %d ids came, want %d", len(r.logs), len(r.uids()), n)
		}
		if sent, lost, queued := value(counters.sent), counters.lost(), value(counters.queued); sent != n || lost != 0 || queued != 0 {
			t.Errorf("counted: %v sent, %v lost, %v queued; want %d, 0, 0", sent, lost, queued, n)
		}
	})
}

// A collector that is away costs what the queue does not hold, and that is
// counted. The rest comes when it is back, without a restart.
func TestExporter_CollectorAway(t *testing.T) {
	const n, queue = 5003, 1009
	eachProtocol(t, func(t *testing.T, protocol string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		l.Close() // so that connections there are refused
		o := options(protocol, address)
		o.Queue = queue
		x, counters := newExporter(t, o)
		tell(x, lives(n))
		r := receive(t, protocol, address, 0)
		r.wait(func() bool { return len(r.logs) >= queue })
		x.Close(time.Minute)
		sent, lost := value(counters.sent), counters.lost()
		if int(sent) != len(r.logs) || len(r.uids()) != len(r.logs) || int(sent+lost) != n {
			t.Errorf("%d records with %d ids came; counted: %v sent and %v lost, want %d in all", len(r.logs), len(r.uids()), sent, lost, n)
		}
		if sent < queue || sent > queue+batchSize || lost != value(counters.dropped.WithLabelValues(queueFull)) {
			t.Errorf("%v came, want what the queue holds, %d, and one batch at most", sent, queue)
		}
	})
}

// A collector that takes connections and says nothing holds up nobody.
func TestExporter_CollectorHangs(t *testing.T) {
	const n = 10007
	eachProtocol(t, func(t *testing.T, protocol string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		x, counters := newExporter(t, options(protocol, l.Addr().String()))
		tell(x, lives(n)) // it never returns if this waits
		x.Close(time.Millisecond)
		if sent, lost := value(counters.sent), counters.lost(); sent != 0 || lost != n || value(counters.queued) != 0 {
			t.Errorf("%v sent, %v lost; want 0 and %d", sent, lost, n)
		}
	})
}

func TestExporter_CollectorRefuses(t *testing.T) {
	r := receive(t, HTTP, "127.0.0.1:0", 400)
	x, counters := newExporter(t, options(HTTP, r.address))
	tell(x, lives(3))
	x.Close(time.Minute)
	if n := value(counters.dropped.WithLabelValues(refused)); n != 3 {
		t.Errorf("%v refused, want 3", n)
	}
}

func TestExporter_Metrics(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol string) {
		r := receive(t, protocol, "127.0.0.1:0", 0)
		o := options(protocol, r.address)
		o.Every = 10 * time.Millisecond
		x, counters := newExporter(t, o)
		r.wait(func() bool { return r.metrics["waits_seconds"] != nil })
		x.Close(time.Minute)
		points := r.metrics["waits_seconds"].GetExponentialHistogram().GetDataPoints()
		if len(points) != 1 || points[0].Count != 1 || points[0].GetSum() != 0.25 {
			t.Errorf("the points of the native histogram are %v", points)
		}
		if n := value(counters.pushes.WithLabelValues("ok")); n < 1 {
			t.Errorf("%v pushes", n)
		}
	})
}

func TestExporter_AFindingAsAnEvent(t *testing.T) {
	r := receive(t, HTTP, "127.0.0.1:0", 0)
	o := options(HTTP, r.address)
	o.Headers = map[string]string{"authorization": "Bearer abc"}
	x, _ := newExporter(t, o)
	engine := diagnose.New(diagnose.Options{})
	client := story.NewSocket(0x1a5cd, "10.0.0.1:40000", "10.9.8.7:443")
	story.Tell(story.Join(
		client.Connect(time.Second, time.Millisecond, story.Task(4242, "curl")),
		client.State(2*time.Second, tcp.Established, tcp.CloseWait),
	), time.Minute, func(c *conn.Change) {
		if c.Kind != conn.Ended {
			engine.Handle(c)
		}
	})
	engine.Advance(event.Time(20 * time.Second))
	fresh := engine.Fresh()
	for i := range fresh {
		x.Finding(&fresh[i], event.Time(20*time.Second))
	}
	x.Close(time.Minute)
	var leaks []*logs.LogRecord
	for _, l := range r.logs {
		if attributes(l)["tcptrace.finding.rule"] == "close-wait-leak" {
			leaks = append(leaks, l)
		}
	}
	if len(leaks) != 1 {
		t.Fatalf("%d events of the leak, want 1", len(leaks))
	}
	got := attributes(leaks[0])
	for name, want := range map[string]string{
		"tcptrace.finding.id": "close-wait-leak:pid=4242", "tcptrace.finding.severity": "info", "tcptrace.finding.count": "1",
		"process.pid": "4242", "process.comm": "curl", "tcptrace.finding.evidence.now": "1", "tcptrace.finding.evidence.oldest_ns": fmt.Sprint(18 * time.Second.Nanoseconds()),
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if leaks[0].EventName != "tcptrace.finding" || leaks[0].SeverityNumber != logs.SeverityNumber_SEVERITY_NUMBER_INFO {
		t.Errorf("the event is %q, %v", leaks[0].EventName, leaks[0].SeverityNumber)
	}
	if auth := r.headers.Get("Authorization"); auth != "Bearer abc" {
		t.Errorf("the header is %q", auth)
	}
}

func TestOptions_Check(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"": true, "http://collector": true, "https://collector:4318/otlp": true, "collector:4318": false, "ftp://collector": false, "http://": false,
	} {
		o := options(HTTP, "")
		o.Endpoint = endpoint
		if err := o.Check(); (err == nil) != ok {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
	o := options(HTTP, "collector")
	if url := o.url("logs"); url != "http://collector:4318/v1/logs" {
		t.Errorf("logs go to %s", url)
	}
	o.Endpoint = "https://collector:1/otlp"
	if url := o.url("metrics"); url != "https://collector:1/otlp/v1/metrics" {
		t.Errorf("metrics go to %s", url)
	}
}

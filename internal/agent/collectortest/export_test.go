package collectortest

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tcptrace/tcptrace/internal/agent/export"
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A sender is the agent's exporter, with a tracker whose events are made up.
type sender struct {
	t        *testing.T
	exporter *export.Exporter
	tracker  *conn.Tracker
	registry *prometheus.Registry
	told     int // connections that ended
}

func newSender(t *testing.T, protocol, address string) *sender {
	t.Helper()
	counters := export.NewCounters()
	s := &sender{t: t, tracker: conn.New(conn.Options{Reuse: true}), registry: prometheus.NewRegistry()}
	s.registry.MustRegister(counters.Collectors()...)
	var err error
	s.exporter, err = export.New(export.Options{
		Endpoint: "http://" + address, Protocol: protocol, Send: []string{export.Connections},
		Queue: export.DefaultQueue, Patience: export.DefaultPatience, Every: export.DefaultEvery,
		Version: "test", Host: "a", HostID: "0123456789abcdef",
	}, s.registry, counters, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.exporter.Clock(story.Clock)
	return s
}

// tell has n more connections end.
func (s *sender) tell(n int) {
	for range n {
		s.told++
		c := story.NewSocket(uint64(s.told), "10.0.0.1:40000", "10.9.8.7:443")
		at := time.Second + time.Duration(s.told)*time.Millisecond
		for _, ev := range story.Join(
			c.Connect(at, 100*time.Microsecond, story.Task(7, "curl")),
			story.Failed(event.ECONNRESET, c.State(at+200*time.Microsecond, tcp.Established, tcp.Close)),
		) {
			s.tracker.Handle(&ev, s.show)
		}
		s.tracker.Advance(event.Time(at), s.show)
	}
}

func (s *sender) show(c *conn.Change) {
	if c.Kind == conn.Ended && c.Conn.Closed != 0 {
		s.exporter.Connection(c, 1)
	}
}

// close sends what waits.
func (s *sender) close() {
	s.tracker.Finish(event.Time(time.Hour), s.show)
	s.exporter.Close(time.Minute)
}

// figure returns one of the exporter's own counts, over all its labels.
func (s *sender) figure(name string) (n int) {
	s.t.Helper()
	all, err := s.registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == "tcptrace_export_records_"+name {
			for _, m := range f.Metric {
				n += int(m.Counter.GetValue() + m.Gauge.GetValue())
			}
		}
	}
	return n
}

// Of 100,000 records none is lost and none comes twice, by either protocol.
func TestCollector_NoneLostNoneDoubled(t *testing.T) {
	const n = 100_000
	for _, protocol := range []string{export.HTTP, export.GRPC} {
		t.Run(protocol, func(t *testing.T) {
			c := newCollector(t)
			s := newSender(t, protocol, c.address(protocol))
			for s.told < n {
				if s.figure("queued") > export.DefaultQueue/2 {
					time.Sleep(time.Millisecond) // so fast do events come only here
					continue
				}
				s.tell(500)
			}
			s.close()
			all := c.taken()
			sent, dropped := s.figure("sent_total"), s.figure("dropped_total")
			if len(all) != n || doubled(all) != 0 || sent != n || dropped != 0 {
				t.Errorf("the collector got %d of %d, %d of them more than once; %d are counted as sent, %d as dropped", len(all), n, doubled(all), sent, dropped)
			}
		})
	}
}

// The collector is killed for 30 s, while 1,000 connections end each second: what
// the queue had no room for is counted, and all else comes.
func TestCollector_KilledFor30Seconds(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 40 s")
	}
	c := newCollector(t)
	s := newSender(t, export.HTTP, c.http)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	pass := func(seconds int) {
		for range 100 * seconds {
			s.tell(10)
			<-tick.C
		}
	}
	pass(3)
	c.kill()
	pass(30)
	c.start()
	pass(3)
	s.close()
	all := c.taken()
	sent, dropped := s.figure("sent_total"), s.figure("dropped_total")
	if sent+dropped != s.told || len(all) != sent || dropped == 0 {
		t.Errorf("of %d the collector got %d; %d are counted as sent, %d as dropped", s.told, len(all), sent, dropped)
	}
	// Of a batch that it had written when it was killed it had not said so.
	if twice := doubled(all); twice > 512 {
		t.Errorf("%d came more than once", twice)
	}
	t.Logf("of %d records the collector got %d, %d of them twice; %d are counted as dropped", s.told, len(all), doubled(all), dropped)
}

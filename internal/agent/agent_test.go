package agent

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/tcptrace/tcptrace/internal/agent/export"
	"github.com/tcptrace/tcptrace/internal/agent/metrics"
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

func settings() Settings {
	return Settings{
		Metrics: metrics.Options{
			Version: "test", Labels: []string{metrics.LabelRole}, MaxSeries: metrics.DefaultMaxSeries,
			Expire: metrics.DefaultExpire, Histograms: metrics.Both,
		},
		Window: time.Hour,
	}
}

// A host is a tracker that an agent watches, at a time that the test sets.
type host struct {
	agent   *Agent
	tracker *conn.Tracker
	now     event.Time
}

func newHost(t *testing.T, s Settings) *host {
	t.Helper()
	a, err := New(s, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	h := &host{agent: a, tracker: conn.New(conn.Options{Reuse: true})}
	a.Watch(Watched{
		Clock: story.Clock, Now: func() event.Time { return h.now }, Open: iter.Seq[*conn.Connection](h.tracker.Open),
		Health: func() metrics.Health { return metrics.Health{Tracker: h.tracker.Stats()} },
	})
	return h
}

// see hands over events, with a look at what is due after each.
func (h *host) see(t *testing.T, events ...event.Event) {
	t.Helper()
	for i := range events {
		h.now = max(h.now, events[i].Time)
		h.tracker.Handle(&events[i], func(c *conn.Change) { h.agent.Show(c) })
		if err := h.agent.Flush(); err != nil {
			t.Fatal(err)
		}
	}
}

// value adds up a family's.
func value(all []*dto.MetricFamily, name string) (total float64) {
	for _, f := range all {
		if f.GetName() == name {
			for _, m := range f.Metric {
				total += m.Counter.GetValue() + m.Gauge.GetValue() + float64(m.Histogram.GetSampleCount())
			}
		}
	}
	return total
}

// Scrapes, and reloads, while events come.
func TestAgent_ServesWhileEventsCome(t *testing.T) {
	h := newHost(t, settings())
	done := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			s := settings()
			s.Window += time.Duration(i) // what has been counted stays
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_ = h.agent.Reload(ctx, s) // nobody takes it over at the end
			cancel()
		}
	})
	for range 2 {
		others.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := h.agent.Gather(); err != nil {
					t.Error(err)
				}
				if err := h.agent.Ready(); err != nil && err != errNotYet {
					t.Error(err)
				}
			}
		})
	}
	const n = 1009
	for i := range n {
		c := story.NewSocket(uint64(i)+1, "10.0.0.1:40000", "10.9.8.7:443")
		at := time.Duration(i) * time.Millisecond
		h.see(t, story.Join(c.Connect(at, time.Microsecond, story.Task(7, "curl")),
			story.Failed(event.ECONNRESET, c.State(at+2*time.Microsecond, tcp.Established, tcp.Close)))...)
	}
	close(done)
	others.Wait()
	all, err := h.agent.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if got := value(all, "tcptrace_connections_ended_total"); got != n {
		t.Errorf("%v connections ended, want %d", got, n)
	}
}

// A reload that cannot be has no effect; one that can has it at once.
func TestAgent_ReloadIsAllOrNothing(t *testing.T) {
	h := newHost(t, settings())
	h.see(t, story.Plain()...)
	bad := settings()
	bad.Metrics.MaxSeries, bad.Window = 1, time.Minute
	if err := h.agent.Reload(t.Context(), bad); err == nil || h.agent.window != time.Hour {
		t.Errorf("the error is %v, the window %v", err, h.agent.window)
	}
	bad = settings()
	bad.Metrics.MaxSeries = 3000
	bad.Export = export.Options{Endpoint: "collector"}
	if err := h.agent.Reload(t.Context(), bad); err == nil {
		t.Error("an endpoint that is none is accepted")
	}
	limit := func() float64 {
		all, err := h.agent.metrics.Load().Gather()
		if err != nil {
			t.Fatal(err)
		}
		return value(all, "tcptrace_series_limit")
	}
	good := settings()
	good.Metrics.MaxSeries = 3000
	reloaded := make(chan error)
	go func() { reloaded <- h.agent.Reload(t.Context(), good) }()
	for {
		h.see(t, story.Plain()[0])
		select {
		case err := <-reloaded:
			if err != nil || limit() != 3000 {
				t.Errorf("the error is %v, the limit %v", err, limit())
			}
			return
		default:
		}
	}
}

// Where nobody reads events any more, a scrape gets the figures that there are,
// and /readyz says what is wrong.
func TestAgent_ScrapeDoesNotWaitForAReaderThatIsStuck(t *testing.T) {
	h := newHost(t, settings())
	if err := h.agent.Ready(); err != errNotYet {
		t.Errorf("before the first event: %v", err)
	}
	h.see(t, story.Plain()...)
	if err := h.agent.Ready(); err != nil {
		t.Errorf("while events are read: %v", err)
	}
	all, err := h.agent.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if got := value(all, "tcptrace_time_wait_ended_total"); got != 1 {
		t.Errorf("%v, want the figure of before, 1", got)
	}
	h.agent.beat.Store(time.Now().Add(-staleAfter - time.Second).UnixNano())
	if err := h.agent.Ready(); err != errStuck {
		t.Errorf("later: %v", err)
	}
}

// Findings begin anew after a while, and what is still wrong is found again.
func TestAgent_FindingsBeginAnew(t *testing.T) {
	h := newHost(t, settings())
	client := story.NewSocket(0x1a5cd, "10.0.0.1:40000", "10.9.8.7:443")
	refused := story.Refused()
	h.see(t, story.Join(
		client.Connect(time.Second, time.Millisecond, story.Task(4242, "curl")),
		client.State(1500*time.Millisecond, tcp.Established, tcp.CloseWait), refused,
	)...)
	rules := func(at time.Duration) map[string]uint64 {
		h.now = event.Time(at)
		for range 3 { // as time passes
			h.now = h.now.Add(time.Second)
			if err := h.agent.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		found := map[string]uint64{}
		for _, f := range h.agent.engine.Findings() {
			found[f.Rule.Name] = f.Count
		}
		return found
	}
	if got := rules(20 * time.Second); got["close-wait-leak"] != 1 || got["connect-refused"] != 1 {
		t.Errorf("at first: %v", got)
	}
	first := h.agent.engine
	if got := rules(time.Hour + time.Minute); got["close-wait-leak"] != 1 || got["connect-refused"] != 0 || h.agent.engine == first {
		t.Errorf("an hour later: %v", got)
	}
}

// Package agent runs tcptrace as a service: changes go in, and metrics, logs and
// findings go out to those who asked for them. Nothing that takes them, or fails
// to, holds up the reading of events.
package agent

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/tcptrace/tcptrace/internal/agent/export"
	"github.com/tcptrace/tcptrace/internal/agent/governor"
	"github.com/tcptrace/tcptrace/internal/agent/metrics"
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Settings are what a reload can change.
type Settings struct {
	Metrics metrics.Options
	Export  export.Options

	// Window is for how long findings gather: they then begin anew, with the
	// connections that are open.
	Window time.Duration
}

// A Watched is what the agent looks at beside the changes: a trace and its
// source. Its functions are called from the goroutine that runs the source.
type Watched struct {
	Clock event.Clock
	Now   func() event.Time
	Open  iter.Seq[*conn.Connection]

	// Health returns the figures of the trace.
	Health func() metrics.Health

	// Limit says how much tracing may cost, which the next three hold it to:
	// Cost returns the CPU time that it has taken in all, Shed changes what is
	// left out from the time on that it returns, and Forget ends the interest in
	// open connections. Without a limit they are not called.
	Limit  governor.Options
	Cost   func() (time.Duration, error)
	Shed   func(event.Shedding) (event.Time, error)
	Forget func(unwanted func(*conn.Connection) bool)
}

// An Agent is the sink of a trace that lasts.
type Agent struct {
	watched  Watched
	log      *slog.Logger
	settings diagnose.Settings // sysctls; nil: none known
	notify   *notifier
	watchdog time.Duration
	counters *export.Counters

	// Of the goroutine that runs the source.
	engine   *diagnose.Engine
	window   time.Duration
	began    event.Time // of the findings
	counted  event.Time // when the last census was taken
	rest     event.Time // no census before that
	barked   time.Time
	now      Settings
	metering *metrics.Metrics
	exporter *export.Exporter
	governed governed

	metrics atomic.Pointer[metrics.Metrics]
	beat    atomic.Int64           // when the source was last read, as time.Now().UnixNano()
	next    atomic.Pointer[staged] // a reload that waits to be taken over

	mu      sync.Mutex
	waiting []chan struct{} // for a census
	closing sync.WaitGroup  // exporters that were replaced
}

// staged is a reload: what it changes has been made.
type staged struct {
	settings Settings
	metrics  *metrics.Metrics // nil: as before
	exporter *export.Exporter // likewise, if not export
	export   bool
	done     chan struct{}
}

const (
	censusEvery = time.Minute     // without a scraper
	censusShare = 20              // a census takes one part in so many of the time
	gatherWait  = 2 * time.Second // that a scrape waits for a census
	staleAfter  = 10 * time.Second

	// handedOver is how much older than the present an event is when it
	// certainly has been seen.
	handedOver = 250 * time.Millisecond
)

// New makes an agent, which is yet to be given what it watches. Sysctls, which
// findings quote, may be nil.
func New(settings Settings, sysctls diagnose.Settings, log *slog.Logger) (*Agent, error) {
	a := &Agent{log: log, settings: sysctls, watchdog: watchdog(), counters: export.NewCounters()}
	var err error
	if a.notify, err = newNotifier(); err != nil {
		return nil, err
	}
	s, err := a.stage(settings)
	if err != nil {
		return nil, err
	}
	a.next.Store(s)
	a.takeOver()
	return a, nil
}

// Watch says what the agent watches. It comes before the first change.
func (a *Agent) Watch(w Watched) {
	a.watched = w
	a.governed.governor = governor.New(w.Limit)
	if a.exporter != nil {
		a.exporter.Clock(w.Clock)
	}
}

// stage makes what settings say, as far as they differ from those in force.
func (a *Agent) stage(settings Settings) (*staged, error) {
	s := &staged{settings: settings, done: make(chan struct{})}
	first := a.metering == nil
	if first || !reflect.DeepEqual(settings.Metrics, a.now.Metrics) {
		o := settings.Metrics
		o.Gather = a.gather
		o.Left, o.LeftOpen = a.governed.samples.At, a.governed.samples.Open
		var err error
		if s.metrics, err = metrics.New(o); err != nil {
			return nil, err
		}
		s.metrics.Register(a.counters.Collectors()...)
	}
	if first || !reflect.DeepEqual(settings.Export, a.now.Export) {
		s.export = true
		if settings.Export.Endpoint != "" {
			var err error
			if s.exporter, err = export.New(settings.Export, prometheus.GathererFunc(a.Gather), a.counters, a.log); err != nil {
				return nil, err
			}
			s.exporter.Clock(a.watched.Clock)
		}
	}
	return s, nil
}

// Reload changes the settings, all of them or, with an error, none. It returns
// when the changes that follow go by them, or ctx is done.
func (a *Agent) Reload(ctx context.Context, settings Settings) error {
	s, err := a.stage(settings)
	if err != nil {
		return err
	}
	if s.metrics == nil && !s.export && settings.Window == a.now.Window {
		return nil
	}
	a.next.Store(s)
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// takeOver puts a reload into force.
func (a *Agent) takeOver() {
	s := a.next.Swap(nil)
	if s == nil {
		return
	}
	if s.metrics != nil {
		a.metering = s.metrics
		a.metrics.Store(s.metrics)
		a.counted = 0
	}
	if s.export {
		if old := a.exporter; old != nil {
			a.closing.Go(func() { old.Close(closeWait) })
		}
		a.exporter = s.exporter
	}
	a.window = s.settings.Window
	a.now = s.settings
	close(s.done)
}

// closeWait is for how long what is queued for a collector may still be sent.
const closeWait = 5 * time.Second

// Show takes in a change; it makes a record of an ended connection.
func (a *Agent) Show(c *conn.Change) bool {
	a.metering.Show(c)
	if a.engine != nil {
		a.engine.Handle(c)
	}
	if c.Kind != conn.Ended || c.Conn.Closed == 0 {
		return false
	}
	if a.exporter != nil {
		a.exporter.Connection(c, a.governed.weight(c))
	}
	return true
}

// Flush does what is due. It comes after each look into the ring, some twenty
// times a second. It fails where what tracing costs cannot be known, or limited.
func (a *Agent) Flush() error {
	a.takeOver()
	a.beat.Store(time.Now().UnixNano())
	now := a.watched.Now()
	if err := a.govern(now); err != nil {
		return err
	}
	a.diagnose(now)
	a.census(now)
	if a.watchdog > 0 && time.Since(a.barked) >= a.watchdog/3 {
		a.barked = time.Now()
		a.notify.tell("WATCHDOG=1")
	}
	return nil
}

// diagnose lets time pass, which makes findings, and tells those that are new.
func (a *Agent) diagnose(now event.Time) {
	if a.engine == nil || a.window > 0 && now.Sub(a.began) >= a.window {
		a.renew(now)
	}
	a.engine.Advance(now.Add(-handedOver))
	fresh := a.engine.Fresh()
	if a.exporter == nil {
		return
	}
	for i := range fresh {
		a.exporter.Finding(&fresh[i], now)
	}
}

// renew begins with no findings and with the connections that are open: an
// engine remembers all that it found, which would be too much for months.
func (a *Agent) renew(now event.Time) {
	a.engine, a.began = diagnose.New(diagnose.Options{Settings: a.settings}), now
	for c := range a.watched.Open {
		if c.State != tcp.Close {
			a.engine.Handle(&conn.Change{Kind: conn.Found, Time: now, Conn: c, New: c.State})
		}
	}
}

// Gather returns the metrics. It may be called from any goroutine.
func (a *Agent) Gather() ([]*dto.MetricFamily, error) { return a.metrics.Load().Gather() }

// ErrThreads says that this program cannot drop capabilities in all its threads.
var ErrThreads = errors.New("it was built with cgo: build it with CGO_ENABLED=0, as \"make build\" does")

var (
	errNotYet = errors.New("tracing has not begun")
	errStuck  = errors.New("events have not been read for 10 s")
)

// Ready returns nil while events are read, and else why they are not. It may be
// called from any goroutine.
func (a *Agent) Ready() error {
	switch beat := a.beat.Load(); {
	case beat == 0:
		return errNotYet
	case time.Since(time.Unix(0, beat)) > staleAfter:
		return errStuck
	}
	return nil
}

// Begun tells the service manager that nothing is missed from now on, and
// Reloading and Stopping that the one or the other has begun.
func (a *Agent) Begun(status string) { a.notify.tell("READY=1", "STATUS="+status) }
func (a *Agent) Reloading()          { a.notify.reloading(a.watched.Now()) }
func (a *Agent) Stopping()           { a.notify.tell("STOPPING=1") }

// Close sends what is still queued, for a few seconds at most. It comes after
// the last change.
func (a *Agent) Close() {
	if a.exporter != nil {
		a.exporter.Close(closeWait)
	}
	a.closing.Wait()
}

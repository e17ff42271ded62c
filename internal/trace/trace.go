// Package trace runs a source of events through the tracker and hands what the
// user asked for to a sink.
package trace

import (
	"context"
	"errors"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A Source hands over events in order of time, from one goroutine, until ctx
// is done; it then hands over what it still holds and returns nil.
type Source interface {
	Run(ctx context.Context, handle event.Handler) error
}

// A Sink writes records, from the goroutine that runs the source.
type Sink interface {
	// Show takes in one change and says whether it made a record of it. The
	// change is valid until Show returns.
	Show(*conn.Change) bool

	// Flush hands on what Show has written. An error ends the trace.
	Flush() error
}

// Options say what to trace and when to stop.
type Options struct {
	Filter   filter.Filter
	Duration time.Duration // 0: until the source's context is done
	Count    uint64        // records; 0: no limit

	// Sparse says that the source hands over no more of a connection than who
	// its process is, if that is none of Filter.PIDs.
	Sparse bool

	// Every passes on the changes that are no records, too: Owned, Found and
	// Orphaned, which a sink that shows what is open needs, and Dropped,
	// QueueFull, Failed and Idle, which tell why.
	Every bool

	// Now reads the clock of the source's events. Nil means the time of the
	// last event, which is right for a recording.
	Now func() event.Time

	// Ready, if set, is called once, as soon as reading has begun.
	Ready func()
}

// A Summary says what a trace has done, and what it could not show.
type Summary struct {
	Records uint64 // made by the sink
	Lost    uint64 // events that the kernel side had no room for

	// Untold counts transitions that must have been, by what came after them,
	// and that no event told of.
	Untold uint64

	// Unjudged counts connections that were left out because what the filter
	// asks for, their process as a rule, never became known.
	Unjudged uint64

	// Dropped counts connections that the tracker stopped following for want
	// of room.
	Dropped uint64

	// Overflown counts changes that were left out because too many waited for
	// their connection's process to become known.
	Overflown uint64
}

// errFull ends a trace that has made as many records as were asked for.
var errFull = errors.New("enough records")

// A Trace is one run from a source to a sink.
type Trace struct {
	options Options
	tracker *conn.Tracker
	gate    gate
	sink    Sink
	emit    conn.Handler // made once: there is one for each event
	failed  conn.Change  // the one that is passed on, likewise
	cancel  context.CancelFunc
	err     error // why the sink takes no more: errFull, or of Flush
	last    event.Time
	summary Summary
}

// New prepares a trace, to be run once.
func New(options Options) *Trace {
	t := &Trace{
		options: options,
		tracker: conn.New(conn.Options{Reuse: true}),
	}
	t.emit = t.take
	t.gate = gate{filter: &t.options.Filter, pass: t.show, sparse: options.Sparse}
	return t
}

// Run reads from source, and writes to sink, until ctx is done, the duration is
// over, enough records are made, or one of the two fails. Connections that are
// open then are shown as such, unless there are enough records.
func (t *Trace) Run(ctx context.Context, source Source, sink Sink) (Summary, error) {
	t.sink = sink
	if t.options.Duration > 0 {
		ctx, t.cancel = context.WithTimeout(ctx, t.options.Duration)
	} else {
		ctx, t.cancel = context.WithCancel(ctx)
	}
	defer t.cancel()
	err := source.Run(ctx, t.handle)
	t.tracker.Finish(t.now(), t.emit)
	t.flush()
	stats := t.tracker.Stats()
	t.summary.Dropped, t.summary.Untold = stats.Evicted, stats.Missing
	t.summary.Unjudged, t.summary.Overflown = t.gate.unjudged, t.gate.overflown
	if t.err != nil && t.err != errFull {
		err = errors.Join(t.err, err)
	}
	return t.summary, err
}

// settle is how much older than the present an event is when it certainly has
// been handed over.
const settle = 250 * time.Millisecond

// Batch is to be called, from the goroutine that runs the source, when the
// source has nothing more to hand over for the moment.
func (t *Trace) Batch() {
	if t.sink == nil {
		return
	}
	if t.options.Ready != nil {
		t.options.Ready()
		t.options.Ready = nil
	}
	if t.options.Now != nil {
		t.tracker.Advance(t.options.Now().Add(-settle), t.emit)
	}
	t.flush()
}

// Stats returns the tracker's figures, as they are now. It is to be called from
// the goroutine that runs the source, as Batch is.
func (t *Trace) Stats() conn.Stats { return t.tracker.Stats() }

func (t *Trace) now() event.Time {
	if t.options.Now != nil {
		return t.options.Now()
	}
	return t.last
}

func (t *Trace) handle(ev *event.Event) {
	t.last = max(t.last, ev.Time)
	t.tracker.Handle(ev, t.emit)
}

// take passes on a change, and forgets a stranger's connection.
func (t *Trace) take(c *conn.Change) {
	t.sort(c)
	if c.Conn != nil && c.Kind != conn.Ended && t.gate.strange(c.Conn) {
		t.gate.drop(c.Conn)
		t.tracker.Forget(c.Conn)
	}
}

// sort passes on the changes of the kinds that are wanted. A loss always is.
func (t *Trace) sort(c *conn.Change) {
	f := &t.options.Filter
	switch c.Kind {
	case conn.Lost:
		t.summary.Lost += c.Event.Loss.Count
		t.show(c)
	case conn.Owned, conn.Found, conn.Orphaned:
		if t.options.Every {
			t.gate.judge(c)
		} else {
			t.gate.learn(c)
		}
	case conn.Transition, conn.Corrected:
		if Selects(f, c) {
			t.gate.judge(c)
		}
		if c.New == tcp.Close {
			t.closed(c)
		}
	case conn.Retransmitted, conn.Episode, conn.Crowd, conn.ResetSent, conn.ResetReceived:
		if Selects(f, c) {
			t.gate.judge(c)
		}
	case conn.Idle:
		if t.options.Every {
			t.gate.judge(c)
		}
	case conn.Dropped, conn.QueueFull, conn.Failed:
		if t.options.Every || Selects(f, c) {
			t.gate.judge(c)
		}
	case conn.Ended:
		t.ended(c)
	}
}

// closed passes on what a transition to CLOSE means beside itself.
func (t *Trace) closed(c *conn.Change) {
	if t.options.Filter.SelectsKind(filter.KindError) {
		if failed, ok := Errored(c); ok {
			t.failed = failed
			t.gate.judge(&t.failed)
		}
	}
	if c.Conn.Listener() { // which has no Ended
		t.gate.drop(c.Conn)
	}
}

// ended passes on the end of a connection, which a listener is not, if it has
// been in one of the states asked for.
func (t *Trace) ended(c *conn.Change) {
	t.gate.end(c, Selects(&t.options.Filter, c))
}

func (t *Trace) show(c *conn.Change) {
	if t.err != nil || !t.sink.Show(c) {
		return
	}
	t.summary.Records++
	if t.summary.Records == t.options.Count {
		t.stop(errFull)
	}
}

func (t *Trace) flush() {
	if err := t.sink.Flush(); err != nil && (t.err == nil || t.err == errFull) {
		t.stop(err)
	}
}

func (t *Trace) stop(err error) {
	t.err = err
	t.cancel()
}

package export

import (
	"context"
	"slices"
	"sync"
	"time"

	sdklog "go.opentelemetry.io/otel/sdk/log"
)

// A queue is the SDK's log processor that never waits: it keeps so many records
// and drops what comes then. A goroutine of its own sends them in batches.
type queue struct {
	limit    int
	patience time.Duration
	exporter sdklog.Exporter
	link     *link
	counters *Counters
	report   func(err error) // that a batch could not be sent, or with nil that one could again

	mu      sync.Mutex
	records []sdklog.Record // oldest first
	oldest  time.Time       // when the oldest of them came
	wake    chan struct{}   // holds one
	closed  bool

	stop   context.CancelFunc // ends all sending
	ending chan struct{}      // closed as no more is to come
	ended  chan struct{}
}

// start begins to send.
func (q *queue) start() {
	ctx, stop := context.WithCancel(context.Background())
	q.stop = stop
	q.wake, q.ending, q.ended = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go q.run(ctx)
}

// full reports whether the next record has no room, and then counts it: who
// would have to make that record first need not.
func (q *queue) full() bool {
	q.mu.Lock()
	full := len(q.records) >= q.limit || q.closed
	q.mu.Unlock()
	if full {
		q.counters.dropped.WithLabelValues(queueFull).Inc()
	}
	return full
}

// OnEmit keeps a record, or drops it.
func (q *queue) OnEmit(_ context.Context, r *sdklog.Record) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.records) >= q.limit {
		q.counters.dropped.WithLabelValues(queueFull).Inc()
		return nil
	}
	if len(q.records) == 0 {
		q.oldest = time.Now()
	}
	q.records = append(q.records, r.Clone())
	q.counters.queued.Inc()
	if len(q.records) == 1 || len(q.records) == batchSize {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// Enabled, ForceFlush and Shutdown make it a processor.
func (q *queue) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }
func (q *queue) ForceFlush(context.Context) error                       { return nil }
func (q *queue) Shutdown(context.Context) error                         { return nil }

// close sends what is there, for so long at most, and drops the rest.
func (q *queue) close(wait time.Duration) {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	close(q.ending)
	timer := time.AfterFunc(wait, q.stop)
	<-q.ended
	timer.Stop()
	q.stop()
}

// take returns the next batch: a whole one, or what there is if it has waited
// for long enough. It returns how long to wait for more, 0 for as long as it
// takes.
func (q *queue) take() (batch []sdklog.Record, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.records), batchSize)
	if n == 0 {
		return nil, 0
	}
	if age := time.Since(q.oldest); n < batchSize && age < batchAge && !q.closed {
		return nil, batchAge - age
	}
	batch = slices.Clone(q.records[:n])
	left := copy(q.records, q.records[n:])
	clear(q.records[left:]) // so that they can be freed
	q.records = q.records[:left]
	q.oldest = time.Now()
	return batch, 0
}

func (q *queue) run(ctx context.Context) {
	defer close(q.ended)
	ending := q.ending
	for {
		batch, wait := q.take()
		if len(batch) > 0 {
			q.send(ctx, batch)
			continue
		}
		if ending == nil {
			return
		}
		var late <-chan time.Time
		if wait > 0 {
			late = time.After(wait)
		}
		select {
		case <-q.wake:
		case <-late:
		case <-ending:
			ending = nil
		}
	}
}

// Times between two tries of one batch.
const (
	firstPause = 500 * time.Millisecond
	maxPause   = 5 * time.Second
)

// send tries until the batch is taken, refused, or tried for too long.
func (q *queue) send(ctx context.Context, batch []sdklog.Record) {
	n := float64(len(batch))
	defer q.counters.queued.Sub(n)
	began, pause := time.Now(), firstPause
	for {
		err := ctx.Err()
		if err == nil {
			try, cancel := context.WithTimeout(ctx, sendTimeout)
			err = q.exporter.Export(try, batch)
			cancel()
		}
		switch {
		case err == nil:
			q.report(nil)
			q.counters.sent.Add(n)
			return
		case ctx.Err() != nil:
			q.counters.dropped.WithLabelValues(shutDown).Add(n)
			return
		}
		q.report(err)
		switch {
		case q.link.refused(err):
			q.counters.dropped.WithLabelValues(refused).Add(n)
			return
		case time.Since(began) >= q.patience:
			q.counters.dropped.WithLabelValues(unreachable).Add(n)
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, maxPause)
	}
}

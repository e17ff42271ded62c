package main

import (
	"context"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// bare runs a source for whoever taps it, without a tracker.
type bare struct {
	duration time.Duration
	ready    func()
}

func (b *bare) Run(ctx context.Context, source trace.Source, _ trace.Sink) (trace.Summary, error) {
	if b.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, b.duration)
		defer cancel()
	}
	return trace.Summary{}, source.Run(ctx, func(*event.Event) {})
}

func (b *bare) Batch() {
	if b.ready != nil {
		b.ready()
		b.ready = nil
	}
}

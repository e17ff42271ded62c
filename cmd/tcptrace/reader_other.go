//go:build !linux

package main

import (
	"context"
	"io"

	"github.com/tcptrace/tcptrace/internal/event"
)

// watchReader returns a context that the reader of out does not end: a write
// will tell.
func watchReader(ctx context.Context, _ io.Writer) (context.Context, context.CancelCauseFunc) {
	return context.WithCancelCause(ctx)
}

// monotonic is not called: nothing but Linux can be traced live.
func monotonic() event.Time { return 0 }

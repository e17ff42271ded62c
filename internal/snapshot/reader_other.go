//go:build !linux

package snapshot

import (
	"context"

	"github.com/tcptrace/tcptrace/internal/event"
)

// A Reader takes snapshots.
type Reader struct{}

// Open returns ErrUnsupported: only Linux can be read.
func Open() (*Reader, error) { return nil, ErrUnsupported }

func (*Reader) Take(context.Context, Options) (*Snapshot, error) { return nil, ErrUnsupported }
func (*Reader) Close() error                                     { return nil }

// Descriptors returns ErrUnsupported.
func (*Reader) Descriptors(context.Context, uint32, func(event.ID, uint32)) error {
	return ErrUnsupported
}

// Take returns ErrUnsupported.
func Take(context.Context, Options) (*Snapshot, error) { return nil, ErrUnsupported }

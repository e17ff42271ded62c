//go:build !linux

package snapshot

import "context"

// A Reader takes snapshots.
type Reader struct{}

// Open returns ErrUnsupported: only Linux can be read.
func Open() (*Reader, error) { return nil, ErrUnsupported }

func (*Reader) Take(context.Context, Options) (*Snapshot, error) { return nil, ErrUnsupported }
func (*Reader) Close() error                                     { return nil }

// Take returns ErrUnsupported.
func Take(context.Context, Options) (*Snapshot, error) { return nil, ErrUnsupported }

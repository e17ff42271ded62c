//go:build !linux

package probe

import (
	"io"
	"time"
)

// Measure returns an error: only Linux can be traced.
func Measure() (io.Closer, error) { return nil, errNotLinux }

// Cost returns an error, likewise.
func (*Source) Cost() (time.Duration, uint64, error) { return 0, 0, errNotLinux }

//go:build !linux

package probe

import (
	"context"
	"errors"

	"github.com/tcptrace/tcptrace/internal/event"
)

var errNotLinux = errors.New("live tracing needs Linux")

// A Source is the live kernel.
type Source struct{}

// Open returns an error: only Linux can be traced.
func Open(Options) (*Source, error) { return nil, errNotLinux }

// Examine returns no capabilities and an error.
func Examine(Options) ([]Capability, error) { return nil, errNotLinux }

// ExamineHost returns nothing.
func ExamineHost() Host { return Host{} }

func (*Source) Run(context.Context, event.Handler) error          { return errNotLinux }
func (*Source) Stack(event.ID) (Stack, bool)                      { return Stack{}, false }
func (*Source) Clock() event.Clock                                { return event.Clock{} }
func (*Source) Capabilities() []Capability                        { return nil }
func (*Source) Shed(event.Shedding) (event.Time, error)           { return 0, errNotLinux }
func (*Source) LeftOut() (drops, retransmits, connections uint64) { return 0, 0, 0 }
func (*Source) Close() error                                      { return nil }

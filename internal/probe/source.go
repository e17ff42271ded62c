//go:build linux

package probe

import (
	"context"
	"errors"

	"github.com/tcptrace/tcptrace/internal/event"
)

// A Source is the live kernel: the attached programs and their ring.
type Source struct{}

// Open loads and attaches every program that this kernel allows. It returns
// an error that says the remedy where not even transitions can be traced.
func Open(Options) (*Source, error) { return nil, errors.New("not yet") }

// Examine says what Open would be able to do here, without attaching.
func Examine() ([]Capability, error) { return nil, errors.New("not yet") }

// Run calls handle with each event, in order of time, until ctx is done; then
// it detaches the programs, hands over what is left in the ring, and returns
// nil. It may be called once.
func (s *Source) Run(ctx context.Context, handle event.Handler) error { return nil }

// Clock ties the events' time to the wall clock.
func (s *Source) Clock() event.Clock { return event.Clock{} }

// Capabilities says what is served by which hook.
func (s *Source) Capabilities() []Capability { return nil }

// Close releases what Open acquired. It may be called after Run, or instead.
func (s *Source) Close() error { return nil }

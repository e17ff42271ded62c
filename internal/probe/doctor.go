//go:build linux

package probe

// Capabilities says what is served by which hook.
func (s *Source) Capabilities() []Capability { return nil }

// Examine says what Open would be able to do here, without attaching.
func Examine() ([]Capability, error) { return nil, nil }

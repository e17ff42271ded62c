//go:build !linux

package agent

// DropCapabilities does nothing where there are none.
func DropCapabilities(bool) error { return nil }

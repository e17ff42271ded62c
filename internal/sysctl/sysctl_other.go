//go:build !linux

// Package sysctl reads sysctls that are in force in a network namespace, which
// may differ from namespace to namespace.
package sysctl

import (
	"errors"
	"net/netip"
)

// A Reader reads nothing here.
type Reader struct{}

// NewReader fails: only Linux has these.
func NewReader([]string) (*Reader, error) { return nil, errors.New("read sysctls: this is not Linux") }

// Close does nothing.
func (r *Reader) Close() error { return nil }

// Sysctl knows none.
func (r *Reader) Sysctl(uint32, string) string { return "" }

// Device knows none.
func (r *Reader) Device(uint32, netip.Addr) string { return "" }

// Devices knows none.
func (r *Reader) Devices(uint32) map[netip.Addr]string { return nil }

// Forget does nothing.
func (r *Reader) Forget(uint32) {}

//go:build !linux

package main

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/probe"
)

// spent returns 0: only Linux can be traced.
func spent(*probe.Source) (time.Duration, error) { return 0, nil }

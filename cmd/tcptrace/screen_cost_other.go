//go:build !linux

package main

import (
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/screen"
)

type costMeter struct {
	source *probe.Source
	events func() uint64
}

func (m *costMeter) look() screen.Cost { return screen.Cost{} }

func (m *costMeter) close() {}

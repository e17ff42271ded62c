package main

import (
	"io"
	"slices"

	"github.com/tcptrace/tcptrace/internal/audit"
	"github.com/tcptrace/tcptrace/internal/recording"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// countersOf is what a recording holds of readings.
func countersOf(readings []audit.Reading, last bool) *recording.Counters {
	c := &recording.Counters{Last: last}
	for i := range readings {
		r := &readings[i]
		c.Spaces = append(c.Spaces, recording.CountedSpace{
			NetNS: r.NetNS, Name: r.Name, From: r.Window.From, To: r.Window.To, FinTimeout: r.FinTimeout, Values: r.Values.Named(),
		})
	}
	return c
}

// readingsOf are the readings that a recording holds of these namespaces, or of all.
func readingsOf(c *recording.Counters, netns []uint32) []audit.Reading {
	readings := []audit.Reading{} // none is not the same as not recorded
	for i := range c.Spaces {
		s := &c.Spaces[i]
		if len(netns) > 0 && !slices.Contains(netns, s.NetNS) {
			continue
		}
		readings = append(readings, audit.Reading{
			NetNS: s.NetNS, Name: s.Name, Window: audit.Window{From: s.From, To: s.To}, FinTimeout: s.FinTimeout, Values: audit.ValuesOf(s.Values),
		})
	}
	return readings
}

// meteredReplay is metered of a recording, which has the kernel's counters at their
// place.
func (l *live) meteredReplay(r *recording.Recording, out io.Writer) trace.Source {
	if !l.audit {
		return r
	}
	meter := audit.NewReplay()
	for _, c := range r.Info().Capabilities {
		allow(meter.Tally(), c.Name, c.Grade)
	}
	r.OnCounters = func(c *recording.Counters) {
		if c.Last {
			meter.TakeEnd(readingsOf(c, l.filter.NetNS))
		} else {
			meter.TakeBegin(readingsOf(c, l.filter.NetNS))
		}
	}
	l.meterings = append(l.meterings, metering{meter, r.Clock(), out, l.filter.NetNS})
	return meteredSource{meter, r}
}

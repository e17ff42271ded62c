package event

import "time"

// A Clock ties Time to the wall clock of the host that was traced.
type Clock struct {
	// Boot is the wall-clock time at which CLOCK_MONOTONIC was zero.
	Boot time.Time
}

// Wall converts t to wall-clock time, in UTC.
func (c Clock) Wall(t Time) time.Time { return c.Boot.Add(time.Duration(t)).UTC() }

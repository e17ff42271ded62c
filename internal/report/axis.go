package report

import (
	"strconv"
	"time"
)

// steps are the round lengths between two marks of an axis of time.
var steps = []time.Duration{
	1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400,
}

// timeTicks returns the round times of an axis of such a length, at most n of
// them, beside 0. The page's script has the same rule for when it zooms.
func timeTicks(length time.Duration, n int) []time.Duration {
	if length <= 0 {
		return []time.Duration{0}
	}
	var step time.Duration
	for unit := time.Duration(1); step == 0 && unit < time.Second; unit *= 10 { // below a second
		for _, round := range []time.Duration{1, 2, 5} {
			if step == 0 && length <= unit*round*time.Duration(n) {
				step = unit * round
			}
		}
	}
	if step == 0 || step > time.Second/2 {
		step = 0
		for _, round := range steps {
			if round *= time.Second; step == 0 && length <= round*time.Duration(n) {
				step = round
			}
		}
		const day = 24 * time.Hour
		for days := time.Duration(2); step == 0; days *= 2 {
			if length <= days*day*time.Duration(n) {
				step = days * day
			}
		}
	}
	var ticks []time.Duration
	for at := time.Duration(0); at <= length; at += step {
		ticks = append(ticks, at)
	}
	return ticks
}

// tickLabel spells a round time: 0, 50µs, 1.5s, 90s, 2m, 2m30s, 6h, 3d.
func tickLabel(d time.Duration) string {
	const day = 24 * time.Hour
	pair := func(major time.Duration, name string, minor time.Duration, minorName string) string {
		text := strconv.FormatInt(int64(d/major), 10) + name
		if rest := d % major / minor; rest > 0 {
			text += strconv.FormatInt(int64(rest), 10) + minorName
		}
		return text
	}
	fraction := func(unit time.Duration, name string) string {
		return strconv.FormatFloat(float64(d)/float64(unit), 'f', -1, 64) + name
	}
	switch {
	case d == 0:
		return "0"
	case d < time.Microsecond:
		return fraction(1, "ns")
	case d < time.Millisecond:
		return fraction(time.Microsecond, "µs")
	case d < time.Second:
		return fraction(time.Millisecond, "ms")
	case d < 2*time.Minute:
		return fraction(time.Second, "s")
	case d < time.Hour:
		return pair(time.Minute, "m", time.Second, "s")
	case d < day:
		return pair(time.Hour, "h", time.Minute, "m")
	}
	return pair(day, "d", time.Hour, "h")
}

// countTop returns the round number at which an axis of counts up to most ends.
func countTop(most int) int {
	if most <= 4 {
		return max(most, 1)
	}
	for unit := 1; ; unit *= 10 {
		for _, round := range []int{1, 2, 4, 5, 6, 8} {
			if most <= round*unit {
				return round * unit
			}
		}
	}
}

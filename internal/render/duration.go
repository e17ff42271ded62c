package render

import (
	"strconv"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
)

// AppendDuration appends d in at most seven columns, with three digits or so:
// 45us, 1.23ms, 12.3ms, 123ms, 1.23s, 60.9s, 2m03s, 1h02m, 3d04h.
func AppendDuration(b []byte, d time.Duration) []byte {
	if d < 0 {
		b, d = append(b, '-'), -d
	}
	switch {
	case d < time.Microsecond:
		return append(strconv.AppendInt(b, int64(d), 10), "ns"...)
	case d < time.Millisecond:
		return append(strconv.AppendInt(b, int64(d/time.Microsecond), 10), "us"...)
	case d < time.Second:
		return append(appendScaled(b, d, time.Millisecond), "ms"...)
	case d < 100*time.Second:
		return append(appendScaled(b, d, time.Second), 's')
	case d < time.Hour:
		return appendPair(b, d, time.Minute, 'm', time.Second, 's')
	case d < 24*time.Hour:
		return appendPair(b, d, time.Hour, 'h', time.Minute, 'm')
	}
	return appendPair(b, d, 24*time.Hour, 'd', time.Hour, 'h')
}

// appendScaled appends d in units with two, one or no decimals. Digits are
// cut, not rounded: a duration is never shown longer than it was.
func appendScaled(b []byte, d, unit time.Duration) []byte {
	b = strconv.AppendInt(b, int64(d/unit), 10)
	hundredths := d % unit / (unit / 100)
	switch {
	case d < 10*unit:
		return append(b, '.', '0'+byte(hundredths/10), '0'+byte(hundredths%10))
	case d < 100*unit:
		return append(b, '.', '0'+byte(hundredths/10))
	}
	return b
}

func appendPair(b []byte, d, major time.Duration, majorName byte, minor time.Duration, minorName byte) []byte {
	b = append(strconv.AppendInt(b, int64(d/major), 10), majorName)
	rest := d % major / minor
	return append(b, '0'+byte(rest/10), '0'+byte(rest%10), minorName)
}

// appendAtLeast appends a time that was seen whole, or of which only the end
// was seen, or nothing at all.
func appendAtLeast(b []byte, d time.Duration, known bool) []byte {
	switch {
	case known:
		return AppendDuration(b, d)
	case d > 0:
		return AppendDuration(append(b, ">="...), d)
	}
	return append(b, '-')
}

// appendBound appends a time of which only a bound may be known.
func appendBound(b []byte, d time.Duration, bound conn.Bound) []byte {
	switch bound {
	case conn.AtMost:
		return AppendDuration(append(b, "<="...), d)
	case conn.Unbound:
		return append(b, '-')
	}
	return appendAtLeast(b, d, bound == conn.Exact)
}

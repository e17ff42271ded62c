package diagnose

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"
)

// digits spells n with a comma at every thousand.
func digits[N int | int64 | uint64 | uint32](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// several spells a number of things, of which one and many are given.
func several[N int | int64 | uint64 | uint32](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return digits(n) + " " + many
}

func connections[N int | int64 | uint64 | uint32](n N) string {
	return several(n, "connection", "connections")
}

// span spells a time in few characters. Digits are cut, not rounded.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	case d < 100*time.Second:
		return fmt.Sprintf("%d.%ds", d/time.Second, d%time.Second/(100*time.Millisecond))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// percent spells a share.
func percent(part, whole uint64) string {
	if whole == 0 {
		return "0%"
	}
	return strconv.FormatUint(part*100/whole, 10) + "%"
}

// endpoint spells an address and port, or an address without a port.
func endpoint(a netip.AddrPort) string {
	if !a.IsValid() {
		return "an unknown address"
	}
	addr := a.Addr().Unmap()
	if a.Port() == 0 {
		return addr.String()
	}
	return netip.AddrPortFrom(addr, a.Port()).String()
}

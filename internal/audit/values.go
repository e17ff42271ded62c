package audit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Values are the kernel's figures at one moment. A kernel too old to count
// something has no value for it.
type Values struct {
	value [numRead]int64
	known [numRead]bool
}

// Value returns the figure, and whether the kernel has it.
func (v *Values) Value(c Counter) (int64, bool) { return v.value[c], v.known[c] }

// exceeds reports whether a figure of v is larger than that of later, which is
// then no later reading of the same namespace.
func (v *Values) exceeds(later *Values) bool {
	for c := range v.value {
		if Counter(c) != CurrEstab && v.value[c] > later.value[c] {
			return true
		}
	}
	return false
}

// Parse reads the figures from the text of /proc/net/snmp and of
// /proc/net/netstat: for each protocol a line of names, then one of values
// (net/ipv4/proc.c).
func Parse(snmp, netstat string) (*Values, error) {
	v := &Values{}
	if err := v.parse(snmp, "Tcp:"); err != nil {
		return nil, fmt.Errorf("parse snmp: %w", err)
	}
	if err := v.parse(netstat, "TcpExt:"); err != nil {
		return nil, fmt.Errorf("parse netstat: %w", err)
	}
	return v, nil
}

func (v *Values) parse(text, protocol string) error {
	var names []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != protocol {
			continue
		}
		if names == nil {
			names = f
			continue
		}
		if len(f) != len(names) {
			return fmt.Errorf("%d names and %d values of %s", len(names)-1, len(f)-1, protocol)
		}
		return v.assign(names[1:], f[1:])
	}
	return errors.New("no values of " + protocol)
}

var counterOf = func() map[string]Counter {
	of := map[string]Counter{}
	for c, name := range counterNames {
		of[name] = Counter(c)
	}
	return of
}()

func (v *Values) assign(names, values []string) error {
	for i, name := range names {
		c, ours := counterOf[name]
		if !ours {
			continue
		}
		// CurrEstab is an int for the kernel, the others are unsigned long.
		n, err := strconv.ParseUint(values[i], 10, 64)
		if err != nil {
			return fmt.Errorf("value of %s: %w", name, err)
		}
		v.value[c], v.known[c] = int64(n), true
	}
	return nil
}

package main

import (
	"errors"
	"fmt"
	"math/bits"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/tcptrace/tcptrace/internal/suggest"
)

// The types below are values of flags whose errors say what to write.

// A list holds comma-separated elements. A flag given again adds to it.
type list[T any] struct {
	to    *[]T
	parse func(string) (T, error)
}

func (l list[T]) Set(s string) error {
	for part := range strings.SplitSeq(s, ",") {
		v, err := l.parse(strings.TrimSpace(part))
		if err != nil {
			return err
		}
		*l.to = append(*l.to, v)
	}
	return nil
}

func (l list[T]) String() string { return "" }
func (l list[T]) Type() string   { return "list" }

// A word is one of a few.
type word struct {
	to   *string
	from []string
}

func (w word) Set(s string) error {
	for _, known := range w.from {
		if s == known {
			*w.to = s
			return nil
		}
	}
	if meant := suggest.Closest(s, w.from); meant != "" {
		return fmt.Errorf("%q is not known; did you mean %s?", s, meant)
	}
	return fmt.Errorf("%q is not known; write one of %s", s, strings.Join(w.from, " "))
}

func (w word) String() string {
	if w.to == nil {
		return ""
	}
	return *w.to
}
func (w word) Type() string { return "word" }

// A period is a time that is longer than none.
type period struct {
	to       *time.Duration
	min, max time.Duration
}

func (p period) Set(s string) error {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil && isNumber(s):
		return fmt.Errorf("%q has no unit; write %ss, or %sm for minutes", s, s, s)
	case err != nil:
		return fmt.Errorf("%q is not a time; write a number and a unit, such as 30s, 5m or 1h30m", s)
	case p.max > 0 && (d < p.min || d > p.max):
		return fmt.Errorf("%q is out of range; write a time from %v to %v", s, p.min, p.max)
	case d <= 0 || d < p.min:
		return fmt.Errorf("%q is too short; write a time such as 30s, 5m or 1h30m", s)
	}
	*p.to = d
	return nil
}

func (p period) String() string {
	if p.to == nil || *p.to == 0 {
		return ""
	}
	return p.to.String()
}
func (p period) Type() string { return "time" }

// A number counts from 1.
type number struct{ to *uint64 }

func (n number) Set(s string) error {
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil || v == 0 {
		return fmt.Errorf("%q is not a number from 1 upward", s)
	}
	*n.to = v
	return nil
}

func (n number) String() string { return "" }
func (n number) Type() string   { return "number" }

// A size is a number of bytes, rounded up to a power of two.
type size struct{ to *int }

const (
	minRing = 4 << 10
	maxRing = 1 << 30
)

func (z size) Set(s string) error {
	v, err := parseSize(s)
	if err != nil {
		return err
	}
	if v < minRing || v > maxRing {
		return fmt.Errorf("%q is out of range; write a size from 4KiB to 1GiB", s)
	}
	*z.to = 1 << bits.Len64(v-1)
	return nil
}

func parseSize(s string) (uint64, error) {
	digits := strings.TrimRight(s, "KMGiBkmgb")
	shift, ok := map[string]uint{
		"": 0, "b": 0, "k": 10, "kb": 10, "kib": 10, "m": 20, "mb": 20, "mib": 20, "g": 30, "gb": 30, "gib": 30,
	}[strings.ToLower(s[len(digits):])]
	v, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || !ok {
		return 0, errors.New(strconv.Quote(s) + " is not a size; write bytes, or a unit such as 64MiB")
	}
	return v << shift, nil
}

func (z size) String() string { return "" }
func (z size) Type() string   { return "size" }

// A bytesFlag is a size of a file.
type bytesFlag struct{ n uint64 }

const minFile = 64 << 10

func (b *bytesFlag) Set(s string) error {
	v, err := parseSize(s)
	if err != nil {
		return err
	}
	if v < minFile {
		return fmt.Errorf("%q is too small; write a size from 64KiB, such as 100MB", s)
	}
	b.n = v
	return nil
}

func (b *bytesFlag) String() string { return "" }
func (b *bytesFlag) Type() string   { return "size" }

// A quantity is a whole number from 1.
type quantity struct{ to *int }

func (q quantity) Set(s string) error {
	v, err := strconv.ParseUint(s, 10, 31)
	if err != nil || v == 0 {
		return fmt.Errorf("%q is not a number; write 1 or more", s)
	}
	*q.to = int(v)
	return nil
}

func (q quantity) String() string { return "" }
func (q quantity) Type() string   { return "number" }

// An address is one to listen at.
type address struct{ to *string }

func (a address) Set(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil || port == "" {
		return fmt.Errorf("%q is no address; write HOST:PORT, such as 127.0.0.1:9435 or [::1]:9435, or :9435 for everybody", s)
	}
	*a.to = s
	return nil
}

func (a address) String() string {
	if a.to == nil {
		return ""
	}
	return *a.to
}
func (a address) Type() string { return "address" }

// A share is a part of one core, in percent or as a number.
type share struct{ to *float64 }

func (s share) Set(text string) error {
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0.0001 && v <= 64) {
		return fmt.Errorf("%q is no share of a core; write a percentage such as 1%%", text)
	}
	*s.to = v
	return nil
}

func (s share) String() string { return "" }
func (s share) Type() string   { return "share" }

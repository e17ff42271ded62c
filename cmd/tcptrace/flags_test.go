package main

import (
	"bytes"
	"os"
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for in, want := range map[string]int{
		"4096": 4096, "4KiB": 4096, "5000": 8192, "64MiB": 64 << 20, "64m": 64 << 20, "3M": 4 << 20, "1GiB": 1 << 30,
	} {
		var got int
		if err := (size{&got}).Set(in); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0", "-1", "4095", "1.5M", "2GiB", "9999999999G", "MiB", "1x"} {
		var got int
		if err := (size{&got}).Set(in); err == nil {
			t.Errorf("%s: %d, want an error", in, got)
		}
	}
}

func TestPeriod(t *testing.T) {
	var got time.Duration
	if err := (period{to: &got}).Set("1h30m"); err != nil || got != 90*time.Minute {
		t.Errorf("1h30m: %v, %v", got, err)
	}
	for _, in := range []string{"", "0", "0s", "-1s", "30", "30 s", "soon"} {
		if err := (period{to: &got}).Set(in); err == nil {
			t.Errorf("%q: %v, want an error", in, got)
		}
	}
}

func TestList_AddsUp(t *testing.T) {
	var got []string
	l := list[string]{&got, func(s string) (string, error) { return s, nil }}
	for _, in := range []string{"a,b", " c , d"} {
		if err := l.Set(in); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 4 || got[3] != "d" {
		t.Errorf("%q, want a b c d", got)
	}
}

func TestColored(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	t.Setenv("NO_COLOR", "1")
	for _, test := range []struct {
		color string
		want  bool
	}{{"auto", false}, {"always", true}, {"never", false}} {
		o := output{color: test.color}
		if got := o.colored(null); got != test.want {
			t.Errorf("--color %s: %v to a file, want %v", test.color, got, test.want)
		}
		if got := o.colored(&bytes.Buffer{}); got != test.want {
			t.Errorf("--color %s: %v to a buffer, want %v", test.color, got, test.want)
		}
	}
}

package timeline

import (
	"strconv"
	"strings"
	"time"
)

// A Tick is a mark of the axis, and what is written behind it.
type Tick struct {
	Cell  int
	Label string // "" where there is no room for it
}

// steps are the distances of ticks that people count in.
var steps = func() []time.Duration {
	var all []time.Duration
	for unit := time.Duration(1); unit < time.Second; unit *= 10 {
		all = append(all, unit, 2*unit, 5*unit)
	}
	for _, unit := range []time.Duration{time.Second, time.Minute} {
		all = append(all, unit, 2*unit, 5*unit, 10*unit, 15*unit, 20*unit, 30*unit)
	}
	const day = 24 * time.Hour
	return append(all, time.Hour, 2*time.Hour, 3*time.Hour, 6*time.Hour, 12*time.Hour,
		day, 2*day, 7*day, 14*day, 28*day, 91*day, 364*day)
}()

// step returns the shortest distance of ticks at which the labels of an axis
// of this length, with a sign of so many columns, still stand apart.
func step(length time.Duration, cells, sign int) time.Duration {
	for _, s := range steps {
		widest := max(len(label(length/s*s)), len(label(length/s*s-s))) + len("| ") + sign
		if float64(s)/float64(length)*float64(cells) >= float64(max(widest, 6)) {
			return s
		}
	}
	return length
}

// ticks returns the ticks of an axis that counts from 0 at its left end.
func ticks(length time.Duration, cells int) []Tick {
	s := step(length, cells, 0)
	var all []Tick
	for at := time.Duration(0); at < length; at += s {
		t := Tick{Cell: position(at, length, cells), Label: label(at)}
		if t.Cell+1+len(t.Label) > cells {
			t.Label = ""
		}
		all = append(all, t)
	}
	return all
}

// ticksBack returns the ticks of an axis that counts back from its right end,
// which is now.
func ticksBack(length time.Duration, cells int) []Tick {
	s := step(length, cells, len("-"))
	all := []Tick{{Cell: max(cells-len("now"), 0), Label: "now"}}
	for ago := s; ago <= length; ago += s {
		t := Tick{Cell: position(length-ago, length, cells), Label: "-" + label(ago)}
		if t.Cell+1+len(t.Label) < all[len(all)-1].Cell {
			all = append([]Tick{t}, all...)
		}
	}
	return all
}

func position(at, length time.Duration, cells int) int {
	return min(int(float64(at)/float64(length)*float64(cells)), cells-1)
}

// label writes a round time: 0, 50us, 1.5s, 90s, 2m, 2m30s, 6h, 3d.
func label(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d <= 0:
		return "0"
	case d >= time.Second && d < 2*time.Minute && d%time.Second == 0:
		return strconv.Itoa(int(d/time.Second)) + "s"
	case d >= 2*day && d%day == 0:
		return strconv.Itoa(int(d/day)) + "d"
	}
	text := strings.Replace(d.String(), "µ", "u", 1)
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

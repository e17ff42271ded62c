package timeline

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestTicks(t *testing.T) {
	for _, test := range []struct {
		length time.Duration
		cells  int
		want   string
	}{
		{90 * time.Microsecond, 40, "0@0 20us@8 40us@17 60us@26 80us@35"},
		{1234 * time.Microsecond, 40, "0@0 500us@16 1ms@32"},
		{700 * time.Millisecond, 40, "0@0 200ms@11 400ms@22 600ms@34"},
		{10 * time.Second, 40, "0@0 2s@8 4s@16 6s@24 8s@32"},
		{3500 * time.Millisecond, 60, "0@0 500ms@8 1s@17 1.5s@25 2s@34 2.5s@42 3s@51"},
		{time.Minute, 40, "0@0 10s@6 20s@13 30s@20 40s@26 50s@33"},
		{10 * time.Minute, 40, "0@0 2m@8 4m@16 6m@24 8m@32"},
		{7 * time.Hour, 30, "0@0 2h@8 4h@17 6h@25"},
		{40 * 24 * time.Hour, 40, "0@0 7d@7 14d@14 21d@21 28d@28 35d@35"},
		{1, 40, "0@0"},
	} {
		if got := write(ticks(test.length, test.cells)); got != test.want {
			t.Errorf("ticks(%v, %d) = %s, want %s", test.length, test.cells, got, test.want)
		}
	}
}

func TestTicksBack(t *testing.T) {
	for _, test := range []struct {
		length time.Duration
		cells  int
		want   string
	}{
		{time.Minute, 40, "-60s@0 -50s@6 -40s@13 -30s@20 -20s@26 now@37"},
		{10 * time.Second, 24, "-10s@0 -5s@12 now@21"},
		{10 * time.Minute, 60, "-10m@0 -9m@6 -8m@12 -7m@18 -6m@24 -5m@30 -4m@36 -3m@42 -2m@48 now@57"},
		{time.Minute, 2, "now@0"},
	} {
		if got := write(ticksBack(test.length, test.cells)); got != test.want {
			t.Errorf("ticksBack(%v, %d) = %s, want %s", test.length, test.cells, got, test.want)
		}
	}
}

// Whatever the scale, ticks lie within the axis, and labels neither overlap nor
// reach beyond it.
func TestTicks_NeverOverlap(t *testing.T) {
	for length := time.Duration(1); length < 1000*24*time.Hour; length = length*7/5 + 3 {
		for cells := 1; cells < 240; cells += 7 {
			for name, all := range map[string][]Tick{"ticks": ticks(length, cells), "ticksBack": ticksBack(length, cells)} {
				if len(all) == 0 || len(all) > cells {
					t.Fatalf("%s(%v, %d): %d ticks", name, length, cells, len(all))
				}
				for i, tick := range all {
					end := tick.Cell + 1 + len(tick.Label)
					if tick.Label == "now" {
						end--
					}
					limit := cells
					if i+1 < len(all) {
						limit = all[i+1].Cell
					}
					if tick.Cell < 0 || tick.Cell >= cells || tick.Label != "" && end > max(limit, len("now")) {
						t.Fatalf("%s(%v, %d) = %s", name, length, cells, write(all))
					}
				}
			}
		}
	}
}

func write(all []Tick) string {
	var words []string
	for _, t := range all {
		words = append(words, fmt.Sprintf("%s@%d", t.Label, t.Cell))
	}
	return strings.Join(words, " ")
}

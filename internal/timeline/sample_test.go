package timeline

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The numbers from 1 to n, in no order: each is its own rank.
func TestSample_Exact(t *testing.T) {
	for _, test := range []struct{ n, median, p99 int }{
		{1, 1, 1}, {2, 1, 2}, {3, 2, 3}, {4, 2, 4}, {99, 50, 99}, {100, 50, 99}, {101, 51, 100}, {1009, 505, 999}, {4096, 2048, 4056},
	} {
		var s sample
		for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(test.n) {
			s.add(time.Duration(i + 1))
		}
		if got := []time.Duration{s.quantile(50), s.quantile(99), s.max}; !slices.Equal(got, []time.Duration{
			time.Duration(test.median), time.Duration(test.p99), time.Duration(test.n),
		}) || s.count != test.n {
			t.Errorf("of %d: median, p99, max are %v; want %d %d %d", test.n, got, test.median, test.p99, test.n)
		}
	}
	if got := (&sample{}).quantile(50); got != 0 {
		t.Errorf("the median of nothing is %v", got)
	}
}

// Above 4,096 the quantiles are at most 0.4 % too short, and never too long.
func TestSample_Many(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var s sample
	var all []time.Duration
	for range 100_003 {
		d := time.Duration(1) << random.IntN(42)
		d += time.Duration(random.Int64N(int64(d)))
		s.add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, percent := range []int{1, 50, 90, 99, 100} {
		got, want := s.quantile(percent), all[(len(all)*percent+99)/100-1]
		if got > want || float64(want-got) > 0.004*float64(want) {
			t.Errorf("quantile(%d) = %d, want %d", percent, got, want)
		}
	}
	if s.max != all[len(all)-1] || s.count != len(all) {
		t.Errorf("max %v, count %d", s.max, s.count)
	}
}

// A clone does not share what either adds later.
func TestSample_Clone(t *testing.T) {
	for _, n := range []int{3, exact + 1} {
		var s sample
		for range n {
			s.add(5)
		}
		c := s.clone()
		for range 2 * n {
			c.add(9)
		}
		if s.quantile(99) != 5 || c.quantile(50) != 9 || s.count != n {
			t.Errorf("of %d: %v, %v", n, s.quantile(99), c.quantile(50))
		}
	}
}

func TestBucket_Floor(t *testing.T) {
	for d := time.Duration(0); d < 1<<58; d = d*9/8 + 1 {
		b := bucket(d)
		if f := floor(b); f > d || float64(d-f) > float64(d)/256 || bucket(f) != b {
			t.Fatalf("%d is in bucket %d, from %d", d, b, f)
		}
	}
}

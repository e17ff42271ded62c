package timeline

import (
	"maps"
	"math/bits"
	"slices"
	"time"
)

// exact is the number of durations that a sample keeps as they are.
const exact = 4096

// A sample is a multiset of durations, for order statistics. Up to 4,096 are
// kept; from then on they are counted in buckets, of which there are 256 for
// each power of two: a quantile is then too short by at most 0.4 %.
type sample struct {
	count   int
	max     time.Duration
	values  []time.Duration
	sorted  bool
	buckets map[uint16]int
}

func (s *sample) add(d time.Duration) {
	d = max(d, 0)
	s.count++
	s.max = max(s.max, d)
	if s.buckets != nil {
		s.buckets[bucket(d)]++
		return
	}
	s.values = append(s.values, d)
	s.sorted = false
	if len(s.values) > exact {
		s.buckets = map[uint16]int{}
		for _, v := range s.values {
			s.buckets[bucket(v)]++
		}
		s.values = nil
	}
}

func (s *sample) clone() sample {
	c := *s
	c.values = slices.Clone(s.values)
	c.buckets = maps.Clone(s.buckets)
	return c
}

// quantile returns the shortest duration that is not exceeded by at least
// percent of all, and 0 if there are none: nearest rank.
func (s *sample) quantile(percent int) time.Duration {
	if s.count == 0 {
		return 0
	}
	rank := (s.count*percent + 99) / 100
	if s.buckets == nil {
		if !s.sorted {
			slices.Sort(s.values)
			s.sorted = true
		}
		return s.values[max(rank, 1)-1]
	}
	for _, b := range slices.Sorted(maps.Keys(s.buckets)) {
		if rank -= s.buckets[b]; rank <= 0 {
			return floor(b)
		}
	}
	return s.max
}

// bucket returns the number of d's bucket: its exponent and the eight bits
// behind its first.
func bucket(d time.Duration) uint16 {
	if d < 512 {
		return uint16(d)
	}
	shift := bits.Len64(uint64(d)) - 9
	return uint16(shift<<8) + uint16(uint64(d)>>shift)
}

// floor returns the shortest duration of a bucket.
func floor(b uint16) time.Duration {
	if b < 512 {
		return time.Duration(b)
	}
	shift := b>>8 - 1
	return time.Duration(uint64(b&255|256) << shift)
}

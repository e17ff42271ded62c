package conn

// slabChunk is the number of values that a slab allocates at once.
const slabChunk = 1024

// A slab holds values by number, from 1 on. It grows without moving them, and
// where they have no pointers the garbage collector need not look into it.
type slab[T any] struct {
	chunks [][]T
	free   []uint32 // numbers given back
	used   uint32   // numbers ever taken
}

// at returns the value of a number that take returned.
func (s *slab[T]) at(n uint32) *T {
	return &s.chunks[(n-1)/slabChunk][(n-1)%slabChunk]
}

// take returns the number of a value. It may hold anything.
func (s *slab[T]) take() uint32 {
	if last := len(s.free) - 1; last >= 0 {
		n := s.free[last]
		s.free = s.free[:last]
		return n
	}
	if s.used%slabChunk == 0 {
		s.chunks = append(s.chunks, make([]T, slabChunk))
	}
	s.used++
	return s.used
}

// give takes a number back.
func (s *slab[T]) give(n uint32) { s.free = append(s.free, n) }

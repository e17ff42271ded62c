package event

// A Shedding is what a live source leaves out to save what it would cost. The
// zero Shedding is nothing.
type Shedding struct {
	Drops       bool // packets dropped
	Retransmits bool // the single retransmits, which are counted instead, and the congestion states

	// Sockets leaves out whole connections: of 2 to its power, one is told of,
	// which the cookie chooses. Listeners are always told of.
	Sockets uint8
}

// Weight returns how many sockets each that is told of stands for.
func (s Shedding) Weight() uint64 { return 1 << s.Sockets }

// Mask has the bits of Mix that are 0 for a socket that is told of.
func (s Shedding) Mask() uint32 { return 1<<s.Sockets - 1 }

// Tells reports whether the socket with a cookie is told of, if it is no
// listener. One without is.
func (s Shedding) Tells(cookie uint64) bool { return cookie == 0 || Mix(cookie)&s.Mask() == 0 }

// Mix makes any bits of a cookie as good as others to choose sockets by, since
// the kernel counts cookies up. The kernel side chooses by the same: bpf/shed.h.
func Mix(cookie uint64) uint32 {
	cookie ^= cookie >> 33
	cookie *= 0xff51afd7ed558ccd // of MurmurHash3, fmix64
	cookie ^= cookie >> 33
	return uint32(cookie)
}

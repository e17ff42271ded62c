//go:build linux

package lab

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Flags of a TCP header.
const (
	flagFIN = 1 << 0
	flagSYN = 1 << 1
	flagRST = 1 << 2
	flagACK = 1 << 4
)

// A segment is a TCP segment in its IP packet.
type segment struct {
	from    side
	src     netip.AddrPort
	dst     netip.AddrPort
	seq     uint32
	flags   uint8
	payload int    // bytes
	packet  []byte // valid until the rule returns: see clone
}

// clone returns a segment that may be kept.
func (s segment) clone() segment {
	s.packet = append([]byte(nil), s.packet...)
	return s
}

// is reports whether exactly the flags want are set among those of which.
func (s segment) is(want, which uint8) bool { return s.flags&which == want }

// A flow names a connection by its ends.
type flow struct {
	client, server netip.AddrPort
}

func (s segment) flow() flow {
	if s.from == clientSide {
		return flow{s.src, s.dst}
	}
	return flow{s.dst, s.src}
}

// parseSegment reads an IPv4 or IPv6 packet without extension headers (Linux
// sends none with TCP); false if it is not TCP.
func parseSegment(p []byte) (segment, bool) {
	const tcpHeader = 20
	var header, total int
	var src, dst netip.Addr
	switch {
	case len(p) >= 20 && p[0]>>4 == 4 && p[9] == unix.IPPROTO_TCP:
		header, total = int(p[0]&15)*4, int(p[2])<<8|int(p[3])
		src, dst = netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
	case len(p) >= 40 && p[0]>>4 == 6 && p[6] == unix.IPPROTO_TCP:
		header, total = 40, 40+(int(p[4])<<8|int(p[5]))
		src, dst = netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
	default:
		return segment{}, false
	}
	if total > len(p) || total < header+tcpHeader {
		return segment{}, false
	}
	t := p[header:total]
	return segment{
		src:     netip.AddrPortFrom(src, uint16(t[0])<<8|uint16(t[1])),
		dst:     netip.AddrPortFrom(dst, uint16(t[2])<<8|uint16(t[3])),
		seq:     binary.BigEndian.Uint32(t[4:]),
		flags:   t[13],
		payload: len(t) - int(t[12]>>4)*4,
		packet:  p[:total],
	}, true
}

//go:build linux

package lab

import (
	"encoding/binary"
	"net/netip"
	"slices"

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

// newSYN makes a SYN from src to dst, as it would come from the client's side.
func newSYN(src, dst netip.AddrPort) segment {
	const tcpHeader = 20
	t := make([]byte, tcpHeader)
	binary.BigEndian.PutUint16(t[0:], src.Port())
	binary.BigEndian.PutUint16(t[2:], dst.Port())
	binary.BigEndian.PutUint32(t[4:], uint32(src.Port())<<16) // any sequence number
	t[12], t[13] = tcpHeader/4<<4, flagSYN
	binary.BigEndian.PutUint16(t[14:], 64240) // window

	from, to := src.Addr().AsSlice(), dst.Addr().AsSlice()
	pseudo := []byte{0, unix.IPPROTO_TCP, 0, tcpHeader} // RFC 9293 section 3.1
	binary.BigEndian.PutUint16(t[16:], ^sum(from, to, pseudo, t))

	var header []byte
	if src.Addr().Is4() {
		header = []byte{0x45, 0, 0, 20 + tcpHeader, 0, 0, 0, 0, 64, unix.IPPROTO_TCP, 0, 0}
		binary.BigEndian.PutUint16(header[10:], ^sum(header, from, to))
	} else {
		header = []byte{0x60, 0, 0, 0, 0, tcpHeader, unix.IPPROTO_TCP, 64}
	}
	packet := slices.Concat(header, from, to, t)
	return segment{from: clientSide, src: src, dst: dst, seq: uint32(src.Port()) << 16, flags: flagSYN, packet: packet}
}

// sum adds the 16-bit words of parts, each of an even length, as IP's checksum
// does (RFC 1071).
func sum(parts ...[]byte) uint16 {
	var s uint32
	for _, part := range parts {
		for i := 0; i < len(part); i += 2 {
			s += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

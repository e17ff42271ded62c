//go:build linux

package lab

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

const (
	ipv4Header = 20
	ipv6Header = 40
	tcpHeader  = 20
)

// ack returns the segment's acknowledgement number.
func (s segment) ack() uint32 {
	header := ipv6Header
	if s.src.Addr().Is4() {
		header = int(s.packet[0]&15) * 4
	}
	return binary.BigEndian.Uint32(s.packet[header+8:])
}

// answer forges a segment from s's receiver to its sender.
func (s segment) answer(seq, ack uint32, flags uint8) segment {
	return segment{
		from: 1 - s.from, src: s.dst, dst: s.src, seq: seq, flags: flags,
		packet: forge(s.dst, s.src, seq, ack, flags),
	}
}

// inject delivers a segment that nobody has sent.
func (w *wire) inject(s segment) { w.pass(s) }

// forge makes an IP packet with a TCP segment without data.
func forge(src, dst netip.AddrPort, seq, ack uint32, flags uint8) []byte {
	t := make([]byte, tcpHeader)
	binary.BigEndian.PutUint16(t[0:], src.Port())
	binary.BigEndian.PutUint16(t[2:], dst.Port())
	binary.BigEndian.PutUint32(t[4:], seq)
	binary.BigEndian.PutUint32(t[8:], ack)
	t[12], t[13] = tcpHeader/4<<4, flags
	binary.BigEndian.PutUint16(t[14:], 65535) // window
	pseudo := append(src.Addr().AsSlice(), dst.Addr().AsSlice()...)
	pseudo = append(pseudo, 0, unix.IPPROTO_TCP, 0, tcpHeader)
	binary.BigEndian.PutUint16(t[16:], checksum(append(pseudo, t...)))
	if src.Addr().Is4() {
		ip := make([]byte, ipv4Header, ipv4Header+tcpHeader)
		ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_TCP
		binary.BigEndian.PutUint16(ip[2:], ipv4Header+tcpHeader)
		copy(ip[12:], src.Addr().AsSlice())
		copy(ip[16:], dst.Addr().AsSlice())
		binary.BigEndian.PutUint16(ip[10:], checksum(ip))
		return append(ip, t...)
	}
	ip := make([]byte, ipv6Header, ipv6Header+tcpHeader)
	ip[0], ip[6], ip[7] = 0x60, unix.IPPROTO_TCP, 64
	binary.BigEndian.PutUint16(ip[4:], tcpHeader)
	copy(ip[8:], src.Addr().AsSlice())
	copy(ip[24:], dst.Addr().AsSlice())
	return append(ip, t...)
}

// checksum is RFC 1071's. The length of b is even.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 0; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

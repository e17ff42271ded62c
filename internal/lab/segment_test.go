//go:build linux

package lab

import (
	"encoding/hex"
	"net/netip"
	"testing"
)

// A SYN-ACK with four bytes of options and no payload, an ACK with two bytes
// of payload; the IPv6 one is followed by bytes that are not its own.
const (
	synAck4 = "4500002c00004000400600000a0000020a000001" + "1f90c0de00000001000000026012ffff00000000020405b4"
	ack6    = "6000000000160640" + "fd000000000000000000000000000001" + "fd000000000000000000000000000002" +
		"c0de1f9000000002000000025010ffff000000006869" + "eeee"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseSegment(t *testing.T) {
	for _, tc := range []struct {
		packet   string
		src, dst string
		seq      uint32
		flags    uint8
		payload  int
		length   int
	}{
		{synAck4, "10.0.0.2:8080", "10.0.0.1:49374", 1, flagSYN | flagACK, 0, 44},
		{ack6, "[fd00::1]:49374", "[fd00::2]:8080", 2, flagACK, 2, 62},
	} {
		s, ok := parseSegment(unhex(t, tc.packet))
		if !ok {
			t.Errorf("%s: no segment", tc.packet)
			continue
		}
		if s.src != netip.MustParseAddrPort(tc.src) || s.dst != netip.MustParseAddrPort(tc.dst) {
			t.Errorf("%v to %v, want %s to %s", s.src, s.dst, tc.src, tc.dst)
		}
		if s.seq != tc.seq || s.flags != tc.flags || s.payload != tc.payload || len(s.packet) != tc.length {
			t.Errorf("seq %d, flags %#x, %d bytes in %d, want %d, %#x, %d in %d",
				s.seq, s.flags, s.payload, len(s.packet), tc.seq, tc.flags, tc.payload, tc.length)
		}
	}
}

func TestParseSegment_NotTCP(t *testing.T) {
	udp := unhex(t, synAck4)
	udp[9] = 17
	for name, p := range map[string][]byte{
		"nothing":    nil,
		"UDP":        udp,
		"cut header": unhex(t, synAck4)[:39],
		"ARP":        unhex(t, "0001080006040001"),
	} {
		if _, ok := parseSegment(p); ok {
			t.Errorf("%s: taken for a segment", name)
		}
	}
}

// FuzzParseSegment: whatever comes off the wire, no panic, and what is taken
// for a segment lies within its packet.
func FuzzParseSegment(f *testing.F) {
	f.Add(unhex(f, synAck4))
	f.Add(unhex(f, ack6))
	f.Fuzz(func(t *testing.T, p []byte) {
		s, ok := parseSegment(p)
		if ok && (len(s.packet) > len(p) || s.payload > len(p) || !s.src.IsValid()) {
			t.Errorf("segment %+v of %d bytes", s, len(p))
		}
	})
}

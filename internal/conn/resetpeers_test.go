package conn

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/tcptrace/tcptrace/internal/event"
)

// The pairing against a list that is searched from end to end.
func TestPairing_AsASearchedList(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	end := func() netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + random.IntN(3))}), uint16(1+random.IntN(12)))
	}
	var x index
	x.init(&Options{Remember: 1})
	var all []*record
	closed := event.Time(0)
	for step := range 20_000 {
		switch n := random.IntN(10); {
		case n < 5 || len(all) == 0:
			r := x.seat()
			r.ID = event.ID{NetNS: uint32(1 + random.IntN(2)), Cookie: uint64(step + 1)}
			r.Local, r.Remote = end(), end()
			if n == 0 {
				closed++
				r.dead, r.Closed = true, closed
			}
			all = append(all, r)
			x.pair(r)
		case n < 9:
			i := random.IntN(len(all))
			x.unpair(all[i])
			x.release(all[i])
			all[i] = all[len(all)-1]
			all = all[:len(all)-1]
		}
		local, remote, netns := end(), end(), uint32(1+random.IntN(2))
		check(t, "own", all, x.own(netns, local, remote), func(r *record) bool {
			return r.ID.NetNS == netns && r.Local == local && r.Remote == remote
		})
		if x.pairs.count != len(all) {
			t.Fatalf("%d entries, want %d", x.pairs.count, len(all))
		}
	}
}

// check holds what was found against all that fit: it is one of them, a live
// one if there is one, else the last that ended.
func check(t *testing.T, what string, all []*record, got *record, fits func(*record) bool) {
	t.Helper()
	var best *record
	for _, r := range all {
		if fits(r) && (best == nil || best.dead && (!r.dead || r.Closed > best.Closed)) {
			best = r
		}
	}
	switch {
	case got == nil && best == nil:
	case got == nil || best == nil:
		t.Fatalf("%s: found %v, want %v", what, got, best)
	case !fits(got) || got.dead != best.dead || got.dead && got != best:
		t.Fatalf("%s: found %v, want %v", what, got.ID, best.ID)
	}
}

func TestPairing_Peer(t *testing.T) {
	var x index
	x.init(&Options{Remember: 1})
	at := func(netns uint32, cookie uint64, local, remote string) *record {
		r := x.seat()
		r.ID = event.ID{NetNS: netns, Cookie: cookie}
		r.Local, r.Remote = netip.MustParseAddrPort(local), netip.MustParseAddrPort(remote)
		x.pair(r)
		return r
	}
	client := at(1, 1, "10.0.0.1:4000", "10.0.0.2:80")
	server := at(2, 2, "10.0.0.2:80", "10.0.0.1:4000")
	at(1, 3, "[::1]:4000", "[::1]:80")
	at(2, 4, "[::1]:80", "[::1]:4000")
	self := at(1, 5, "10.0.0.9:7", "10.0.0.9:7")
	for _, tt := range []struct{ of, want *record }{{client, server}, {server, client}, {self, nil}} {
		if got := x.peer(tt.of.ID.NetNS, tt.of.Local, tt.of.Remote); got != tt.want {
			t.Errorf("the peer of %x is %v, want %v", tt.of.ID.Cookie, got, tt.want)
		}
	}
	loop := netip.MustParseAddrPort
	if got := x.peer(1, loop("[::1]:4000"), loop("[::1]:80")); got != nil {
		t.Errorf("a loopback address of another namespace is %v", got.ID)
	}
	near := at(1, 6, "10.0.0.2:80", "10.0.0.1:4000")
	if got := x.peer(1, client.Local, client.Remote); got != near {
		t.Errorf("the peer is %v, want the one in the same namespace", got)
	}
}

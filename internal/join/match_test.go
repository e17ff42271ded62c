package join

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// ends makes n connections between two hosts whose clocks differ, the server
// seeing each client's address as nat does.
func ends(n int, offset time.Duration, random *rand.Rand, nat func(netip.AddrPort) netip.AddrPort) (clients, servers []End) {
	at := time.Date(2026, 5, 17, 0, 0, 0, 0, time.UTC).UnixNano()
	service := netip.MustParseAddrPort("10.9.0.1:8080")
	for i := range n {
		at += int64(200*time.Microsecond) + random.Int64N(int64(20*time.Millisecond))
		local := netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(20000+i))
		way := int64(30*time.Microsecond) + random.Int64N(int64(200*time.Microsecond))
		back := int64(30*time.Microsecond) + random.Int64N(int64(200*time.Microsecond))
		sent := uint64(random.IntN(5))
		client := End{
			Local: local, Remote: service, Role: conn.Client, BeginKnown: true, Begin: at, Established: at + way + back,
			Over: at + int64(time.Second), HasCounters: true, Sent: sent, Acked: sent, Result: conn.EndFIN,
		}
		server := End{
			Local: service, Remote: nat(local), Role: conn.Server, BeginKnown: true, Begin: at + way + int64(offset),
			Established: at + 2*way + back + int64(offset), Over: at + int64(time.Second) + int64(offset),
			HasCounters: true, Received: sent, Result: conn.EndFIN,
		}
		client.ID.Cookie, server.ID.Cookie = uint64(i+1), uint64(i+1)
		clients, servers = append(clients, client), append(servers, server)
	}
	random.Shuffle(n, func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
	return clients, servers
}

// joined checks that all pairs are right, and that the clocks' difference is.
func joined(t *testing.T, a, b []End, offset time.Duration) Result {
	t.Helper()
	got := Match(a, b)
	if len(got.Pairs) != min(len(a), len(b)) {
		t.Errorf("%d pairs of %d", len(got.Pairs), len(a))
	}
	wrong := 0
	for _, p := range got.Pairs {
		if a[p.A].ID != b[p.B].ID {
			wrong++
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d pairs are wrong", wrong, len(got.Pairs))
	}
	if !got.OffsetKnown || (got.Offset-offset).Abs() > got.Within+time.Microsecond || got.Within > time.Millisecond {
		t.Errorf("the clocks differ by %v within %v, want %v", got.Offset, got.Within, offset)
	}
	return got
}

func TestMatch(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	gate := netip.MustParseAddr("203.0.113.7")
	for name, nat := range map[string]func(netip.AddrPort) netip.AddrPort{
		"none":         func(a netip.AddrPort) netip.AddrPort { return a },
		"same port":    func(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(gate, a.Port()) },
		"another port": func(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(gate, 1024+a.Port()*7919%60000) },
	} {
		for _, offset := range []time.Duration{0, 3 * time.Second, -3 * time.Second, 17 * time.Hour} {
			t.Run(name+" "+offset.String(), func(t *testing.T) {
				clients, servers := ends(503, offset, random, nat)
				got := joined(t, clients, servers, offset)
				if name == "none" && len(got.Translations) > 0 {
					t.Errorf("translations are %v", got.Translations)
				}
				if name != "none" && (len(got.Translations) != 1 || got.Translations[0] != (Translation{
					netip.MustParseAddrPort("10.0.0.1:0"), netip.AddrPortFrom(gate, 0), 503,
				})) {
					t.Errorf("translations are %v", got.Translations)
				}
				joined(t, servers, clients, -offset)
			})
		}
	}
}

// The server behind a translated address, as behind a load balancer.
func TestMatch_Service(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	clients, servers := ends(97, time.Second, random, func(a netip.AddrPort) netip.AddrPort { return a })
	for i := range clients {
		clients[i].Remote = netip.MustParseAddrPort("198.51.100.1:443")
	}
	got := joined(t, clients, servers, time.Second)
	want := Translation{netip.MustParseAddrPort("10.9.0.1:8080"), netip.MustParseAddrPort("198.51.100.1:443"), 97}
	if len(got.Translations) != 1 || got.Translations[0] != want {
		t.Errorf("translations are %v, want %v", got.Translations, want)
	}
}

// Connections that have nothing to do with each other are not joined.
func TestMatch_Strangers(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	same := func(a netip.AddrPort) netip.AddrPort { return a }
	clients, _ := ends(211, 0, random, same)
	_, servers := ends(199, 0, random, func(netip.AddrPort) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr("192.0.2.9"), uint16(1024+random.IntN(60000)))
	})
	for i := range servers {
		servers[i].Begin += random.Int64N(int64(10 * time.Minute))
	}
	if got := Match(clients, servers); len(got.Pairs) > 0 || got.OffsetKnown {
		t.Errorf("%d pairs of strangers; the clocks differ by %v, %v", len(got.Pairs), got.Offset, got.OffsetKnown)
	}
	if got := Match(nil, servers); len(got.Pairs) > 0 || got.OffsetKnown {
		t.Errorf("%+v", got)
	}
}

// A port that was used again: each life finds its own other end.
func TestMatch_Reuse(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	clients, servers := ends(31, 3*time.Second, random, func(a netip.AddrPort) netip.AddrPort { return a })
	for i := range clients {
		clients[i].Local = netip.MustParseAddrPort("10.0.0.1:40000")
		clients[i].Over = clients[i].Established + 1000
	}
	for i := range servers {
		servers[i].Remote = netip.MustParseAddrPort("10.0.0.1:40000")
		servers[i].Over = servers[i].Established + 1000
	}
	joined(t, clients, servers, 3*time.Second)
}

// Connections older than both recordings are joined by their addresses alone.
func TestMatch_Older(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	clients, servers := ends(13, 3*time.Second, random, func(a netip.AddrPort) netip.AddrPort { return a })
	for i := range clients {
		clients[i].BeginKnown, servers[i].BeginKnown = i > 5, i > 5
	}
	if got := Match(clients, servers); len(got.Pairs) != 13 {
		t.Errorf("%d pairs, want 13", len(got.Pairs))
	}
}

// numbered gives both ends of each connection their initial sequence numbers.
func numbered(clients, servers []End, random *rand.Rand) {
	byCookie := map[uint64]int{}
	for i := range servers {
		byCookie[servers[i].ID.Cookie] = i
	}
	for i := range clients {
		sent, received := event.ISN{Seq: random.Uint32(), Known: true}, event.ISN{Seq: random.Uint32(), Known: true}
		clients[i].ISNs = event.ISNs{Sent: sent, Received: received}
		servers[byCookie[clients[i].ID.Cookie]].ISNs = event.ISNs{Sent: received, Received: sent}
	}
}

// Through NAT to other ports, with the same bytes and handshakes at one moment:
// nothing but the numbers tells the connections apart.
func TestMatch_Numbers(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	gate := netip.MustParseAddr("203.0.113.7")
	clients, servers := ends(503, 3*time.Second, random, func(a netip.AddrPort) netip.AddrPort {
		return netip.AddrPortFrom(gate, 1024+a.Port()*7919%60000)
	})
	for i := range clients {
		clients[i].Begin, clients[i].Established = clients[0].Begin, clients[0].Established
	}
	for i := range servers {
		servers[i].Begin, servers[i].Established = clients[0].Begin+int64(3*time.Second)+40_000, clients[0].Established+int64(3*time.Second)
	}
	numbered(clients, servers, random)
	for _, p := range joined(t, clients, servers, 3*time.Second+40_000-time.Duration(clients[0].Established-clients[0].Begin)/2).Pairs {
		if !p.Numbered || !p.Translated || p.Ambiguous {
			t.Fatalf("a pair is %+v", p)
		}
	}
}

// A SYN-ACK that is lost: the client knows its own number alone. Another server has
// the same one by chance, a day later.
func TestMatch_Unanswered(t *testing.T) {
	random := rand.New(rand.NewPCG(13, 14))
	clients, servers := ends(19, 3*time.Second, random, func(a netip.AddrPort) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr("203.0.113.7"), a.Port()+1)
	})
	numbered(clients, servers, random)
	lost := &clients[7]
	lost.Established, lost.ISNs.Received, lost.Result = 0, event.ISN{}, conn.EndTimeout
	later := servers[0]
	later.ID.Cookie, later.ISNs.Received = 1000, lost.ISNs.Sent
	later.Begin += int64(24 * time.Hour)
	later.Established, later.Over = 0, later.Begin+1
	servers = append(servers, later)
	joined(t, clients, servers, 3*time.Second)
	joined(t, servers, clients, -3*time.Second)
}

// What has other numbers is another connection, although its addresses are the
// same; unless no numbers are kept on the way.
func TestMatch_OtherNumbers(t *testing.T) {
	random := rand.New(rand.NewPCG(15, 16))
	clients, servers := ends(19, 0, random, func(a netip.AddrPort) netip.AddrPort { return a })
	numbered(clients, servers, random)
	clients[3].ISNs.Sent.Seq++
	if got := Match(clients, servers); len(got.Pairs) != 18 {
		t.Errorf("%d pairs, want 18: one has another number", len(got.Pairs))
	}
	for i := range clients {
		clients[i].ISNs.Sent.Seq += 77
	}
	for _, p := range joined(t, clients, servers, 0).Pairs {
		if p.Numbered {
			t.Fatalf("a pair is %+v", p)
		}
	}
}

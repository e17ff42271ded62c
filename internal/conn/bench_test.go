package conn

import (
	"net/netip"
	"runtime"
	"testing"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// stream yields the events of many connections that live at once, as a busy
// host has them: each step takes one connection one event further, and one
// that has ended begins again with another cookie.
type stream struct {
	template []event.Event
	next     []uint8 // per connection, its next event in the template
	lives    []uint32
	turn     int
	now      event.Time
	ev       event.Event
}

// hostOf returns the address of a peer.
func hostOf(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

func newStream(connections int) *stream {
	s := &stream{template: lifeTemplate, next: make([]uint8, connections), lives: make([]uint32, connections)}
	for i := range s.next {
		s.next[i] = uint8(i % len(s.template)) // spread over their lives
	}
	return s
}

func (s *stream) step() *event.Event {
	i := s.turn
	s.turn = (s.turn + 7919) % len(s.next)
	s.now += 400
	s.ev = s.template[s.next[i]]
	s.ev.Time = s.now
	if s.ev.ID.Cookie != 0 {
		s.ev.ID.Cookie |= uint64(i)<<32 | uint64(s.lives[i])<<8
	}
	s.ev.Remote = netip.AddrPortFrom(hostOf(i), s.ev.Remote.Port())
	if s.next[i]++; int(s.next[i]) == len(s.template) {
		s.next[i] = 0
		s.lives[i]++
	}
	return &s.ev
}

func benchmarkHandle(b *testing.B, connections int) {
	t := New(Options{Reuse: true})
	s := newStream(connections)
	changes := 0
	emit := func(*Change) { changes++ }
	for range 3 * connections * len(lifeTemplate) {
		t.Handle(s.step(), emit)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		t.Handle(s.step(), emit)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// Each iteration is one event. Twice as many sockets are live as the name
// says, at most: both ends.
func BenchmarkHandle_100Live(b *testing.B)    { benchmarkHandle(b, 101) }
func BenchmarkHandle_10000Live(b *testing.B)  { benchmarkHandle(b, 10_007) }
func BenchmarkHandle_100000Live(b *testing.B) { benchmarkHandle(b, 100_003) }

// A host that opens connections and closes them at once, each of which is in
// TIME_WAIT then while so many others follow. Each iteration is one event.
func BenchmarkHandle_20000InTimeWait(b *testing.B)  { benchmarkTimeWait(b, 20_000) }
func BenchmarkHandle_200000InTimeWait(b *testing.B) { benchmarkTimeWait(b, 200_000) }

func benchmarkTimeWait(b *testing.B, waiting int) {
	t := New(Options{Reuse: true})
	changes := 0
	emit := func(*Change) { changes++ }
	last := len(lifeTemplate) - 1
	var ev event.Event
	step := func(i int) {
		life, turn := i/(last+1), i%(last+1)
		if turn == last {
			life -= waiting
		}
		ev = lifeTemplate[turn]
		ev.Time = event.Time(400 * i)
		if ev.ID.Cookie != 0 {
			ev.ID.Cookie |= uint64(life+waiting) << 8
		}
		ev.Remote = netip.AddrPortFrom(hostOf(life+waiting), ev.Remote.Port())
		t.Handle(&ev, emit)
	}
	before := 2 * waiting * (last + 1)
	for i := range before {
		step(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		step(before + i)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	if live := t.Stats().States[tcp.TimeWait]; live < waiting || live > waiting+1 {
		b.Fatalf("%d in TIME_WAIT, want %d", live, waiting)
	}
}

// The cost of the stream itself, to be taken off the others.
func BenchmarkStream(b *testing.B) {
	s := newStream(10_007)
	for range b.N {
		s.step()
	}
}

// The memory of a million connections that are established.
func BenchmarkMillionLive(b *testing.B) {
	const n = 1_000_000
	for range b.N {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		t := New(Options{Reuse: true})
		for i := range n {
			c := aClient
			c.id.Cookie = uint64(i + 1)
			c.remote = netip.AddrPortFrom(hostOf(i), 443)
			for _, ev := range []*event.Event{c.state(1, tcp.Close, tcp.SynSent), c.bound(2), c.state(3, tcp.SynSent, tcp.Established)} {
				t.Handle(ev, func(*Change) {})
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if t.Stats().Live != n {
			b.Fatalf("%d live, want %d", t.Stats().Live, n)
		}
		b.ReportMetric(float64(after.HeapInuse-before.HeapInuse)/n, "B/connection")
		runtime.KeepAlive(t)
	}
}

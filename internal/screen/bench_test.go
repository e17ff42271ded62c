package screen

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// BenchmarkDraw makes a View, without a new list, and its picture: what is done
// four times a second.
func BenchmarkDraw(b *testing.B) {
	h := busy(&testing.T{}, 80, 24)
	h.key("2")
	v := h.model.View(h.display.query)
	for b.Loop() {
		h.model.Advance(h.model.now + event.Time(250*ms))
		h.shared.view.Store(h.model.Refresh(v.Query, v.Body))
		h.display.look()
		h.display.View()
	}
}

// BenchmarkFeed takes in the changes of one connection, whose peer resets it, and
// a View as often as a Screen makes one at 1,000 such connections a second. A
// million of them (-benchtime=1000000x) say what memory they leave behind.
func BenchmarkFeed(b *testing.B) {
	h := newHost(&testing.T{}, 80, 24)
	h.model.Advance(event.Time(1 * s))
	b.ReportAllocs()
	lives := 0
	for b.Loop() {
		flood(func(ev *event.Event) { h.tracker.Handle(ev, h.model.Show) }, lives, 1)
		if lives++; lives%500 == 0 {
			h.model.Advance(event.Time(10*s + time.Duration(lives)*time.Millisecond))
			h.model.View(h.display.query)
		}
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "MB-kept")
	runtime.KeepAlive(h)
}

// BenchmarkChurn takes in one connection, both ends of it, of a host that has 1,000
// of them a second from 8,000 addresses, each with its minute of TIME_WAIT: what
// the screen costs beside the tracker, and of that the rules.
func BenchmarkChurn(b *testing.B) {
	for name, begin := range map[string]func() (conn.Handler, func(event.Time)){
		"tracker": func() (conn.Handler, func(event.Time)) { return func(*conn.Change) {}, func(event.Time) {} },
		"rules": func() (conn.Handler, func(event.Time)) {
			engine := diagnose.New(diagnose.Options{})
			return engine.Handle, func(at event.Time) { engine.Advance(at) }
		},
		"screen": func() (conn.Handler, func(event.Time)) {
			h := newHost(&testing.T{}, 80, 24)
			return h.model.Show, func(at event.Time) {
				h.model.Advance(at)
				h.look()
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			show, view := begin()
			tracker := conn.New(conn.Options{Reuse: true})
			churn := newChurn()
			for i := range churnWaits { // what waits in TIME_WAIT
				churn.next(i, func(ev *event.Event) { tracker.Handle(ev, show) })
			}
			b.ReportAllocs()
			i := churnWaits
			for b.Loop() {
				churn.next(i, func(ev *event.Event) { tracker.Handle(ev, show) })
				if i++; i%500 == 0 {
					view(event.Time(10*s + time.Duration(i)*ms))
				}
			}
		})
	}
}

// churnWaits is how many are in TIME_WAIT at 1,000 connections a second.
const churnWaits = 60_000

// A churn makes the events of one connection out of those of another.
type churn struct{ life, end []event.Event }

func newChurn() *churn {
	client := story.NewSocket(1, "10.0.0.1:40000", "10.9.8.7:443")
	server := story.NewSocket(2, "10.9.8.7:443", "10.0.0.1:40000")
	wrk, nginx := story.Task(4242, "wrk"), story.Task(812, "nginx")
	const us = time.Microsecond
	return &churn{
		life: story.Join(
			client.Connect(0, 40*us, wrk), server.Accept(10*us, 20*us), server.Used(60*us, tcp.Established, nginx),
			story.By(wrk, client.State(100*us, tcp.Established, tcp.FinWait1)), server.State(110*us, tcp.Established, tcp.CloseWait),
			client.State(120*us, tcp.FinWait1, tcp.FinWait2), story.By(nginx, server.State(150*us, tcp.CloseWait, tcp.LastAck)),
			client.TimeWait(155*us, tcp.FinWait2), server.Totals(160*us, event.Counters{}), server.State(160*us, tcp.LastAck, tcp.Close),
		),
		end: story.Join(client.TimeWaitEnd(0, event.CauseExpired)),
	}
}

// next hands over the events of connection i, and the end of the one that has waited.
func (c *churn) next(i int, handle event.Handler) {
	at := event.Time(10*s + time.Duration(i)*ms)
	if i >= churnWaits {
		c.tell(c.end, i-churnWaits, at, handle)
	}
	c.tell(c.life, i, at, handle)
}

func (c *churn) tell(events []event.Event, i int, at event.Time, handle event.Handler) {
	addr := netip.AddrFrom4([4]byte{10, 1, byte(i % 8000 >> 8), byte(i % 8000)})
	client := netip.AddrPortFrom(addr, uint16(32768+i/8000%28000))
	for _, ev := range events {
		ev.Time += at
		ev.ID.Cookie += uint64(2 * i)
		if ev.Remote.Port() == 443 {
			ev.Local = client
		} else {
			ev.Remote = client
		}
		handle(&ev)
	}
}

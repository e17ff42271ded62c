package recording

import (
	"math"
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/event"
)

// nearby is how many of the block's last new sockets are looked at for
// addresses like a new one's.
const nearby = 16

// event codes an event. When reading, s is its row's shape, which is known.
func (b *block) event(s shape, ev *event.Event) {
	if b.writing {
		how, at := b.place(ev)
		s = newShape(kind(ev.Kind), ev.Cause, ev.Old, ev.New, ev.Op, shapeOf(ev)|how)
		b.shape(&s)
		b.when(&ev.Time)
		b.socket(how, at, ev)
		b.fields(s.has(), ev)
		return
	}
	*ev = event.Event{Kind: event.Kind(s.kind()), Cause: s.cause(), Old: s.old(), New: s.new(), Op: s.op()}
	b.common(s, ev)
}

// common reads what any row may have, also one of a kind that is not known.
func (b *block) common(s shape, ev *event.Event) {
	has := s.has()
	if has&hasTime != 0 {
		b.when(&ev.Time)
	}
	b.socket(has&addressing, 0, ev)
	b.fields(has, ev)
}

// when codes a row's time, by how far it is from the row before. The low bytes
// are all but noise, and have columns of their own.
func (b *block) when(t *event.Time) {
	if b.writing {
		d, back := uint64(*t-b.time), uint64(0)
		if *t < b.time {
			d, back = -d, 1
		}
		b.putByte(colTime0, byte(d))
		b.putByte(colTime1, byte(d>>8))
		b.put(colTime2, d>>16<<1|back)
	} else {
		d := uint64(b.getByte(colTime0)) | uint64(b.getByte(colTime1))<<8
		high := b.get(colTime2)
		if d |= high >> 1 << 16; high&1 != 0 {
			d = -d
		}
		*t = b.time + event.Time(d)
	}
	b.time = *t
}

// place finds out how to name an event's socket, and the number of the socket
// of the block that this refers to.
func (b *block) place(ev *event.Event) (how uint32, at int) {
	if ev.ID == (event.ID{}) && ev.Local == (netip.AddrPort{}) && ev.Remote == (netip.AddrPort{}) {
		return addressNone, 0
	}
	if ev.ID.Cookie != 0 {
		if n, ok := b.socketNumbers.of(&ev.ID, ev.ID.Cookie); ok {
			switch known := &b.sockets[n]; {
			case known.remote != ev.Remote:
				return addressBoth, int(n)
			case known.local.Addr() != ev.Local.Addr():
				return addressLocal, int(n)
			case known.local != ev.Local:
				return addressPort, int(n)
			}
			return addressSame, int(n)
		}
	}
	for n := len(b.sockets) - 1; n >= max(0, len(b.sockets)-nearby); n-- {
		near := &b.sockets[n]
		switch {
		case near.id.NetNS != ev.ID.NetNS:
		case ev.ID.Cookie == 0 && near.local == ev.Local && near.remote == ev.Remote:
			return addressOf, n
		case ev.ID.Cookie != 0 && near.local == ev.Remote && near.remote == ev.Local:
			return addressSwapped, n
		case ev.ID.Cookie != 0 && near.local.Port() == 0 && near.local.Addr() == ev.Remote.Addr() && near.remote == ev.Local:
			return addressAnswer, n
		}
	}
	return addressNew, 0
}

// socket codes an event's identity and addresses. When writing, at is the
// socket that how refers to.
func (b *block) socket(how uint32, at int, ev *event.Event) {
	b.current = math.MaxInt
	switch how {
	case addressNone:
		return
	case addressNew:
		b.newSocket(ev)
		b.addressPort(colLocalPort, &ev.Local, &b.localPort)
		b.addressPort(colRemotePort, &ev.Remote, &b.remotePort)
		b.keep(ev)
		return
	}
	if at = b.refer(at); at < 0 {
		return
	}
	of := &b.sockets[at]
	switch how {
	case addressSame:
	case addressPort:
		b.portOf(&ev.Local, of.local.Addr())
		of.local = ev.Local
	case addressLocal:
		b.addressPort(colLocalPort, &ev.Local, &b.localPort)
		of.local = ev.Local
	case addressBoth:
		b.addressPort(colLocalPort, &ev.Local, &b.localPort)
		b.addressPort(colRemotePort, &ev.Remote, &b.remotePort)
		of.local, of.remote = ev.Local, ev.Remote
	case addressSwapped:
		ev.ID.NetNS, ev.Local, ev.Remote = of.id.NetNS, of.remote, of.local
		b.newCookie(ev)
		b.keepTwin(ev, at)
		return
	case addressAnswer:
		ev.ID.NetNS, ev.Local = of.id.NetNS, of.remote
		b.portOf(&ev.Remote, of.local.Addr())
		b.newCookie(ev)
		b.keepTwin(ev, at)
		return
	case addressOf:
		ev.ID, ev.Local, ev.Remote = event.ID{NetNS: of.id.NetNS}, of.local, of.remote
		return
	default:
		b.fail()
		return
	}
	b.current = at
	ev.ID, ev.Local, ev.Remote = of.id, of.local, of.remote
}

// refer codes a reference to a socket of the block, and returns its number, or -1
// where that makes no sense.
func (b *block) refer(at int) int {
	last := len(b.sockets) - 1
	if b.writing {
		b.put(colSocket, uint64(last-at))
		return at
	}
	back := b.get(colSocket)
	if back >= uint64(len(b.sockets)) {
		b.fail()
		return -1
	}
	return last - int(back)
}

func (b *block) newSocket(ev *event.Event) {
	number(&b.coder, colNetNS, &ev.ID.NetNS)
	b.newCookie(ev)
}

func (b *block) newCookie(ev *event.Event) {
	d := int64(ev.ID.Cookie - b.cookie)
	signed(&b.coder, colCookie, &d)
	ev.ID.Cookie = b.cookie + uint64(d)
	b.cookie = ev.ID.Cookie
}

// keep makes the event's a socket of the block.
func (b *block) keep(ev *event.Event) {
	if b.writing && ev.ID.Cookie != 0 {
		b.socketNumbers.add(&ev.ID, ev.ID.Cookie, uint32(len(b.sockets)))
	}
	b.current = len(b.sockets)
	b.sockets = append(b.sockets, socket{id: ev.ID, local: ev.Local, remote: ev.Remote})
}

// keepTwin makes the event's a socket of the block, the other end of another.
func (b *block) keepTwin(ev *event.Event, of int) {
	b.keep(ev)
	b.sockets[b.current].twin, b.sockets[of].twin = of+1, b.current+1
}

// addressPort codes an address and port.
func (b *block) addressPort(col column, a *netip.AddrPort, last *uint16) {
	addr, port := a.Addr(), a.Port()
	b.address(&addr)
	b.portNumber(col, &port, last)
	*a = netip.AddrPortFrom(addr, port)
}

// portOf codes a port alone. Both ends of a connection have it in turn.
func (b *block) portOf(a *netip.AddrPort, addr netip.Addr) {
	port := a.Port()
	b.portNumber(colPort, &port, &b.port)
	*a = netip.AddrPortFrom(addr, port)
}

// portNumber codes a port: 0 for none, else 1 + by what it is more than the
// last one, signed and around the end of the range, too.
func (b *block) portNumber(col column, port, last *uint16) {
	var d uint64
	if b.writing && *port != 0 {
		d = 1 + zigzag(int64(int16(*port-*last)))
	}
	if number(&b.coder, col, &d); d == 0 {
		*port = 0
		return
	}
	*last += uint16(unzigzag(d - 1))
	*port = *last
}

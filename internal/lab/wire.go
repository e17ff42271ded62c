//go:build linux

package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A side is an end of a wire.
type side int

const (
	clientSide side = iota
	serverSide
)

// A rule decides what becomes of a segment that entered the wire: it passes
// it on with wire.pass, at once or later, or it does not. Rules are called one
// at a time, so what one call passes arrives before what the next call does.
type rule func(*wire, segment)

// A wire carries the IP packets of two namespaces as a rule says; without a
// rule, as they come. Only TCP crosses: neighbour discovery and such have no
// use on it.
type wire struct {
	ends [2]*os.File // TUN devices

	mu   sync.Mutex // serialises calls of rule
	rule rule

	relays sync.WaitGroup
	timers sync.WaitGroup // of passAfter
	errMu  sync.Mutex
	err    error // the first that a relay met
}

// start begins to carry. Both ends must be set.
func (w *wire) start() {
	for from := range w.ends {
		w.relays.Go(func() { w.fail(w.relay(side(from))) })
	}
}

func (w *wire) fail(err error) {
	if err == nil || errors.Is(err, os.ErrClosed) {
		return
	}
	w.errMu.Lock()
	defer w.errMu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

// setRule is called before the first packet.
func (w *wire) setRule(r rule) { w.locked(func() { w.rule = r }) }

// locked runs f, which may pass segments, while no rule is called.
func (w *wire) locked(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *wire) relay(from side) error {
	b := make([]byte, 1<<16)
	for {
		n, err := w.ends[from].Read(b)
		if err != nil {
			return fmt.Errorf("read from the wire: %w", err)
		}
		s, ok := parseSegment(b[:n])
		if !ok {
			continue
		}
		s.from = from
		w.locked(func() {
			if w.rule == nil {
				w.pass(s)
			} else {
				w.rule(w, s)
			}
		})
	}
}

// pass delivers the segment to the other side. The receiving kernel has dealt
// with it when pass returns.
func (w *wire) pass(s segment) {
	if _, err := w.ends[1-s.from].Write(s.packet); err != nil {
		w.fail(fmt.Errorf("write to the wire: %w", err))
	}
}

// passAfter delivers the segment after d.
func (w *wire) passAfter(d time.Duration, s segment) {
	s = s.clone()
	w.timers.Add(1)
	time.AfterFunc(d, func() {
		defer w.timers.Done()
		w.pass(s)
	})
}

// close ends the relays and returns the first error that they met.
func (w *wire) close() error {
	w.timers.Wait()
	for _, f := range w.ends {
		if f != nil {
			f.Close()
		}
	}
	w.relays.Wait()
	return w.err
}

// openTUN makes a TUN device in the calling thread's namespace. It lasts until
// the file is closed.
func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun (is the tun module there?): %w", err)
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make TUN device %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

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
		flags:   t[13],
		payload: len(t) - int(t[12]>>4)*4,
		packet:  p[:total],
	}, true
}

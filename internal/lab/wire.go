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
//
// What has entered it once does not enter it again: when this process gets no
// processor for 200 ms, a kernel sends its segment anew, and the copy would
// arrive as well. A FIN's copy is answered by an ACK that finds the other
// socket closed, and the RST for that ends TIME_WAIT.
type wire struct {
	ends [2]*os.File // TUN devices

	mu   sync.Mutex // serialises calls of rule, and guards what follows
	rule rule
	seen map[content]bool // nil: copies enter as well

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

// setRule makes r the rule for what enters the wire from now on.
func (w *wire) setRule(r rule) { w.locked(func() { w.rule = r }) }

// open lets everything pass from now on, copies of what was lost too.
func (w *wire) open() { w.locked(func() { w.rule, w.seen = nil, nil }) }

// A content is what a segment takes of its sender's sequence space.
type content struct {
	from     side
	src, dst netip.AddrPort
	seq      uint32
	flags    uint8
	payload  int
}

// copied reports whether the segment's content has entered the wire before. An
// ACK by itself has none.
func (w *wire) copied(s segment) bool {
	flags := s.flags & (flagSYN | flagFIN | flagACK)
	if w.seen == nil || s.payload == 0 && flags&(flagSYN|flagFIN) == 0 {
		return false
	}
	c := content{s.from, s.src, s.dst, s.seq, flags, s.payload}
	if w.seen[c] {
		return true
	}
	w.seen[c] = true
	return false
}

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
			switch {
			case w.copied(s):
			case w.rule == nil:
				w.pass(s)
			default:
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

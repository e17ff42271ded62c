//go:build linux

package probe

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// A record's header (kernel/bpf/ringbuf.c, struct bpf_ringbuf_hdr): its length,
// with two flags, and four bytes that are the kernel's own.
const (
	ringHeader  = 8
	ringBusy    = 1 << 31 // BPF_RINGBUF_BUSY_BIT: it is still being written
	ringDiscard = 1 << 30 // BPF_RINGBUF_DISCARD_BIT
)

// A ring is a BPF ring buffer in our memory. Its records are read where the
// kernel wrote them, and their room is given back many at a time: the kernel
// reads our position whenever it writes, so each change of it costs both sides.
// (cilium/ebpf's ringbuf.Reader copies each record, and gives back its room, by
// itself.) It is for one goroutine.
type ring struct {
	consumer []byte // a page that begins with our position
	producer []byte // likewise with the kernel's; then the records, twice, so that none is cut
	records  []byte
	mask     uint64
	at       uint64 // the position of the next record
}

// wakeShare is the part of the ring that is full when the kernel side asks for it to
// be read: one in so many.
const wakeShare = 4

func openRing(m *ebpf.Map) (*ring, error) {
	size, page := int(m.MaxEntries()), unix.Getpagesize()
	consumer, err := unix.Mmap(m.FD(), 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the ring's position: %w", err)
	}
	producer, err := unix.Mmap(m.FD(), int64(page), page+2*size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map the ring: %w", err), unix.Munmap(consumer))
	}
	r := &ring{consumer: consumer, producer: producer, records: producer[page:], mask: uint64(size) - 1}
	r.at = atomic.LoadUint64(position(consumer))
	return r, nil
}

func position(page []byte) *uint64 { return (*uint64)(unsafe.Pointer(unsafe.SliceData(page))) }

// next returns the next record, or nil if there is none that is written to its
// end. It is valid until free is called.
func (r *ring) next() []byte {
	for r.left() {
		start := r.at & r.mask
		// The kernel sets the length, without the flag, when all else is written.
		header := atomic.LoadUint32((*uint32)(unsafe.Pointer(&r.records[start])))
		if header&ringBusy != 0 {
			return nil
		}
		size := uint64(header &^ ringDiscard)
		r.at += ringHeader + (size+7)&^7
		if header&ringDiscard == 0 {
			start += ringHeader
			return r.records[start : start+size : start+size]
		}
	}
	return nil
}

// left reports whether the kernel has put something behind what next returned.
// After next has returned nil, that is a record which is still being written.
func (r *ring) left() bool { return r.at != atomic.LoadUint64(position(r.producer)) }

// fills reports whether the kernel side asks for the ring to be read, at this
// moment: see wakeShare.
func (r *ring) fills() bool {
	return atomic.LoadUint64(position(r.producer))-r.at > (r.mask+1)/wakeShare
}

// free gives back the room of all that next has returned.
func (r *ring) free() { atomic.StoreUint64(position(r.consumer), r.at) }

func (r *ring) close() error { return errors.Join(unix.Munmap(r.producer), unix.Munmap(r.consumer)) }

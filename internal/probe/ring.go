//go:build linux

package probe

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/event"
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
	end      uint64 // what is read of it, as of the last look
	freed    uint64 // the position that the kernel knows

	head   []byte // the next record, if it is known
	headAt event.Time
	looked event.Time // when end was found
	beyond event.Time // whatever is not read is later, but for the time it took to write
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
	r.freed, r.end = r.at, r.at
	return r, nil
}

func position(page []byte) *uint64 { return (*uint64)(unsafe.Pointer(unsafe.SliceData(page))) }

// look finds out what is in the ring, at this time: no more than that is read until it
// is called again.
func (r *ring) look(now event.Time) {
	r.beyond = r.horizon()
	r.end, r.looked = atomic.LoadUint64(position(r.producer)), now
}

// peek returns the next record, or nil if there is none that is written to its end.
// It is valid until it has been taken and free is called.
func (r *ring) peek() []byte {
	for r.left() {
		start := r.at & r.mask
		// The kernel sets the length, without the flag, when all else is written.
		header := atomic.LoadUint32((*uint32)(unsafe.Pointer(&r.records[start])))
		if header&ringBusy != 0 {
			return nil
		}
		size := uint64(header &^ ringDiscard)
		if header&ringDiscard == 0 {
			start += ringHeader
			return r.records[start : start+size : start+size]
		}
		r.at += room(size)
	}
	return nil
}

// room is what a record of that size takes.
func room(size uint64) uint64 { return ringHeader + (size+7)&^7 }

// ready reports whether the next record is at hand, with its time.
func (r *ring) ready() (bool, error) {
	if r.head != nil {
		return true, nil
	}
	record := r.peek()
	if record == nil {
		return false, nil
	}
	at, err := bpf.TimeOf(record)
	if err != nil {
		return false, err
	}
	r.head, r.headAt = record, at
	r.beyond = max(r.beyond, at)
	return true, nil
}

// take returns the record that is at hand.
func (r *ring) take() ([]byte, event.Time) {
	record := r.head
	r.head = nil
	r.at += room(uint64(len(record)))
	return record, r.headAt
}

// left reports whether something that look found is not read: after ready has said
// no, that is a record which is still being written.
func (r *ring) left() bool { return r.at != r.end }

// horizon returns what all that is not read yet is later than, but for the time that
// it takes to write a record.
func (r *ring) horizon() event.Time {
	if r.left() {
		return r.beyond
	}
	return max(r.beyond, r.looked)
}

// fills reports whether the kernel side asks for the ring to be read, at this
// moment: see wakeShare.
func (r *ring) fills() bool {
	return atomic.LoadUint64(position(r.producer))-r.at > (r.mask+1)/wakeShare
}

// free gives back the room of all that was taken.
func (r *ring) free() {
	if r.freed != r.at {
		r.freed = r.at
		atomic.StoreUint64(position(r.consumer), r.at)
	}
}

func (r *ring) close() error { return errors.Join(unix.Munmap(r.producer), unix.Munmap(r.consumer)) }

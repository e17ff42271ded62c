//go:build linux

package probe

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/tcptrace/tcptrace/internal/event"
)

// Rings are what the kernel side writes to, read as one: the record that comes next is
// the oldest of those that come next in each. So what was read of one ring is not far
// ahead of what was read of another, even if that one lags. They are for one goroutine.
type rings []*ring

func openRings(maps []*ebpf.Map) (rings, error) {
	var all rings
	for _, m := range maps {
		r, err := openRing(m)
		if err != nil {
			return nil, errors.Join(err, all.close())
		}
		all = append(all, r)
	}
	return all, nil
}

// look finds out what is in the rings, at this time.
func (rs rings) look(now event.Time) {
	for _, r := range rs {
		r.look(now)
	}
}

// next returns the next record of what look has found, with its time, or nil if there
// is none that is written to its end. It is valid until free is called.
func (rs rings) next() ([]byte, event.Time, error) {
	var oldest *ring
	for _, r := range rs {
		ready, err := r.ready()
		if err != nil {
			return nil, 0, fmt.Errorf("read the ring: %w", err)
		}
		if ready && (oldest == nil || r.headAt < oldest.headAt) {
			oldest = r
		}
	}
	if oldest == nil {
		return nil, 0, nil
	}
	record, at := oldest.take()
	return record, at, nil
}

// left reports whether something that look found is not read.
func (rs rings) left() bool {
	for _, r := range rs {
		if r.left() {
			return true
		}
	}
	return false
}

// horizon returns what all that is not read yet, of whichever ring, is later than, but
// for the time that it takes to write a record: a ring says nothing of the others.
func (rs rings) horizon() event.Time {
	least := rs[0].horizon()
	for _, r := range rs[1:] {
		least = min(least, r.horizon())
	}
	return least
}

// fills reports whether the kernel side asks for one of them to be read, at this moment.
func (rs rings) fills() bool {
	for _, r := range rs {
		if r.fills() {
			return true
		}
	}
	return false
}

// free gives back the room of all that next has returned.
func (rs rings) free() {
	for _, r := range rs {
		r.free()
	}
}

func (rs rings) close() error {
	var errs []error
	for _, r := range rs {
		errs = append(errs, r.close())
	}
	return errors.Join(errs...)
}

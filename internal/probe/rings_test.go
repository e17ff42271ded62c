//go:build linux

package probe

import (
	"encoding/binary"
	"math/rand"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/event"
)

const recordSize = int(unsafe.Sizeof(bpf.TcptraceTtHead{}))

// A pen writes to a ring in plain memory what the kernel would.
type pen struct {
	*ring
	at uint64 // the kernel's position
}

func newPen(records int) *pen {
	size := 1
	for size < records*int(room(uint64(recordSize))) {
		size *= 2
	}
	return &pen{ring: &ring{
		consumer: make([]byte, 8), producer: make([]byte, 8), records: make([]byte, 2*size), mask: uint64(size) - 1,
	}}
}

// put puts it at a position, where that is in both copies of the records.
func (p *pen) put(at uint64, data []byte) {
	for i, b := range data {
		place := (at + uint64(i)) & p.mask
		p.records[place], p.records[place+p.mask+1] = b, b
	}
}

// reserve takes room for a record of that time; the function that it returns submits it, or
// discards it.
func (p *pen) reserve(at event.Time) (end func(flags uint32)) {
	head := bpf.TcptraceTtHead{TimeNs: uint64(at)}
	start := p.at
	p.put(start, binary.NativeEndian.AppendUint32(nil, uint32(recordSize)|ringBusy))
	p.put(start+ringHeader, unsafe.Slice((*byte)(unsafe.Pointer(&head)), recordSize))
	p.at += room(uint64(recordSize))
	*position(p.producer) = p.at
	return func(flags uint32) { p.put(start, binary.NativeEndian.AppendUint32(nil, uint32(recordSize)|flags)) }
}

func (p *pen) write(times ...event.Time) {
	for _, at := range times {
		p.reserve(at)(0)
	}
}

func (p *pen) given() uint64 { return *position(p.consumer) / room(uint64(recordSize)) }

func pens(n, records int) (all []*pen, rs rings) {
	for range n {
		p := newPen(records)
		all, rs = append(all, p), append(rs, p.ring)
	}
	return all, rs
}

// read takes so many records, or as many as there are.
func read(t *testing.T, rs rings, most int) (times []event.Time) {
	t.Helper()
	readTo(t, rs, most, func(at event.Time, _ []byte) { times = append(times, at) })
	return times
}

// readTo hands them over.
func readTo(t *testing.T, rs rings, most int, add func(event.Time, []byte)) {
	t.Helper()
	for range most {
		record, at, err := rs.next()
		if err != nil {
			t.Fatal(err)
		}
		if record == nil {
			break
		}
		if own, _ := bpf.TimeOf(record); own != at {
			t.Errorf("a record of %d is said to be of %d", own, at)
		}
		add(at, record)
	}
}

func TestRings_AreReadByTime(t *testing.T) {
	p, rs := pens(3, 8)
	p[0].write(10, 30, 50)
	p[1].write(20, 40)
	rs.look(100)
	p[2].write(101) // after the look
	if got, want := read(t, rs, 9), []event.Time{10, 20, 30, 40, 50}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if rs.left() || rs.horizon() != 100 {
		t.Errorf("left %v, horizon %d: all up to the look, at 100, was read", rs.left(), rs.horizon())
	}
	rs.look(200)
	if got, want := read(t, rs, 9), []event.Time{101}; !slices.Equal(got, want) {
		t.Errorf("after the next look: got %v, want %v", got, want)
	}
}

// What is left of a batch is younger than what was read of the same ring only.
func TestRings_ABatchThatEndsAmidARing(t *testing.T) {
	p, rs := pens(3, 8)
	p[0].write(10, 20, 60)
	p[1].write(30, 25, 70)
	rs.look(100)
	if got, want := read(t, rs, 3), []event.Time{10, 20, 30}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !rs.left() || rs.horizon() != 30 {
		t.Errorf("left %v, horizon %d; want 30: 25 is not read", rs.left(), rs.horizon())
	}
	rs.free()
	for i, want := range []uint64{2, 1, 0} { // 60 was looked at
		if got := p[i].given(); got != want {
			t.Errorf("ring %d: %d records are given back, want %d", i, got, want)
		}
	}
	if got, want := read(t, rs, 9), []event.Time{25, 60, 70}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A ring that lags is caught up with first, and holds the others back.
func TestRings_OneLags(t *testing.T) {
	p, rs := pens(2, 8)
	p[0].write(10, 11, 12, 13)
	p[1].write(90, 91)
	rs.look(100)
	if got, want := read(t, rs, 3), []event.Time{10, 11, 12}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if rs.horizon() != 12 {
		t.Errorf("horizon %d, want 12", rs.horizon())
	}
	if got, want := read(t, rs, 9), []event.Time{13, 90, 91}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A record that is still being written holds back all that may be younger, though the
// other rings are read; but not what was there when its ring was empty.
func TestRings_OneIsWrittenTo(t *testing.T) {
	p, rs := pens(2, 8)
	p[1].write(5)
	rs.look(50)
	read(t, rs, 9)
	submit := p[1].reserve(60)
	p[1].write(61)
	p[0].write(62, 63)
	rs.look(100)
	if got, want := read(t, rs, 9), []event.Time{62, 63}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !rs.left() || rs.horizon() != 50 {
		t.Errorf("left %v, horizon %d; want 50", rs.left(), rs.horizon())
	}
	submit(0)
	if got, want := read(t, rs, 9), []event.Time{60, 61}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if rs.left() || rs.horizon() != 100 {
		t.Errorf("left %v, horizon %d; want 100", rs.left(), rs.horizon())
	}
}

func TestRings_PassOverWhatIsDiscarded(t *testing.T) {
	p, rs := pens(2, 8)
	p[0].reserve(10)(ringDiscard)
	p[0].write(11)
	p[1].reserve(12)(ringDiscard)
	rs.look(20)
	if got, want := read(t, rs, 9), []event.Time{11}; !slices.Equal(got, want) || rs.left() {
		t.Errorf("got %v, want %v; left %v", got, want, rs.left())
	}
	rs.free()
	if p[0].given() != 2 || p[1].given() != 1 {
		t.Errorf("given back: %d and %d, want 2 and 1", p[0].given(), p[1].given())
	}
}

func TestRings_ARecordWithoutAHeadIsAnError(t *testing.T) {
	p, rs := pens(2, 8)
	p[0].write(1)
	p[0].put(0, []byte{4})
	rs.look(2)
	if _, _, err := rs.next(); err == nil {
		t.Error("no error")
	}
}

// However the rings fill, whatever batches they are read in, and if records are long
// in being written: all is handed over once, in order of time, as long as none takes
// longer than settle.
func TestRings_NothingLostNothingDoubledAllInOrder(t *testing.T) {
	type pending struct {
		submit func(uint32)
		until  event.Time
	}
	random := rand.New(rand.NewSource(1))
	p, rs := pens(3, 1024)
	writing := make([]pending, len(p))
	var o order
	var written, got []event.Time
	clock := event.Time(time.Second)
	poll := func(most int) {
		rs.look(clock)
		readTo(t, rs, most, o.add)
		got = append(got, collect(&o, rs.horizon().Add(-settle))...)
		rs.free()
	}
	for range 50_000 {
		clock += event.Time(random.Intn(int(settle / 10)))
		which := min(random.Intn(5), 2) // not all as busy
		w := &writing[which]
		if w.submit == nil && p[which].at-p[which].ring.at < p[which].mask/2 {
			stamp := clock - event.Time(random.Intn(int(settle)))
			written = append(written, stamp)
			w.submit, w.until = p[which].reserve(stamp), clock+event.Time(random.Intn(int(settle)))
		}
		for i := range writing {
			if w := &writing[i]; w.submit != nil && w.until <= clock {
				w.submit(0)
				w.submit = nil
			}
		}
		if random.Intn(20) == 0 {
			poll(random.Intn(40))
		}
	}
	for i := range writing {
		if writing[i].submit != nil {
			writing[i].submit(0)
		}
	}
	clock += event.Time(2 * settle)
	poll(len(written))
	compareTimes(t, got, written)
}

func TestRingsFor(t *testing.T) {
	for cpus, want := range map[int]int{1: 1, 2: 1, 32: 1, 33: 3, 48: 3, 64: 4, 96: 6, 256: 16} {
		if got := ringsFor(cpus); got != want {
			t.Errorf("%d processors: %d rings, want %d", cpus, got, want)
		}
	}
}

func TestShareRings(t *testing.T) {
	page := unix.Getpagesize()
	for _, c := range []struct{ bytes, rings, cpus, wantRings, wantBytes int }{
		{8 << 20, 0, 2, 1, 8 << 20},
		{8 << 20, 0, 64, 4, 2 << 20},
		{8 << 20, 0, 96, 6, 1 << 20}, // of 1.33 MiB
		{8 << 20, 2, 2, 2, 4 << 20},
		{page, 0, 256, 1, page},
		{2 * page, 0, 256, 2, page},
		{2 * page, 2, 2, 2, page},
		{8 << 20, 3, 2, 2, 4 << 20},
		{page, 2, 2, 1, page},
	} {
		s := shareRings(c.bytes, c.rings, span(0, c.cpus))
		if s.rings != c.wantRings || s.bytes != c.wantBytes {
			t.Errorf("%d bytes, %d rings, %d processors: %+v", c.bytes, c.rings, c.cpus, s)
		}
		members := make([]int, s.rings)
		for cpu := range c.cpus {
			members[s.ringOf(cpu)]++
		}
		if slices.Max(members)-slices.Min(members) > 1 {
			t.Errorf("%d rings, %d processors: %v are unequal shares", s.rings, c.cpus, members)
		}
	}
	s := sharing{rings: 2, online: span(0, 4)}
	for cpu, want := range []int{0, 0, 1, 1, 0, 0, 1, 1} { // those beyond four are not online
		if got := s.ringOf(cpu); got != want {
			t.Errorf("processor %d: ring %d, want %d", cpu, got, want)
		}
	}
}

// span lists the numbers from the first on that are less than end.
func span(first, end int) (all []int) {
	for n := first; n < end; n++ {
		all = append(all, n)
	}
	return all
}

// Where one socket of two is offline, the numbers have a hole.
func TestShareRings_WhereNumbersHaveHoles(t *testing.T) {
	for _, online := range [][]int{
		slices.Concat(span(0, 40), span(80, 120)), slices.Concat(span(0, 24), span(48, 72)), span(64, 128),
	} {
		s := shareRings(8<<20, 0, online)
		members := make([]int, s.rings)
		for _, cpu := range online {
			members[s.ringOf(cpu)]++
		}
		if slices.Min(members) != cpusOfEach || slices.Max(members) != cpusOfEach {
			t.Errorf("processors %v: %v share the rings, want %d each", online, members, cpusOfEach)
		}
		for cpu := range 256 { // any may come online
			if ring := s.ringOf(cpu); ring < 0 || ring >= s.rings {
				t.Errorf("processor %d: ring %d of %d", cpu, ring, s.rings)
			}
		}
	}
}

func TestParseCPUs(t *testing.T) {
	for list, want := range map[string][]int{
		"0": {0}, "0-3": {0, 1, 2, 3}, "0-3,8-11,13": {0, 1, 2, 3, 8, 9, 10, 11, 13},
	} {
		if got, err := parseCPUs(list); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", list, got, err, want)
		}
	}
	if _, err := parseCPUs("none"); err == nil {
		t.Error("a list of none has no error")
	}
}

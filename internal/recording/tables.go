package recording

import (
	"net/netip"

	"github.com/tcptrace/tcptrace/internal/event"
)

// A block codes the rows of one block. What rows have in common is in tables,
// which begin empty in each block and grow, in step on both sides, as it is
// coded.
type block struct {
	coder
	rows int

	stringNumbers map[string]uint32
	addrNumbers   map[netip.Addr]uint32
	labelNumbers  map[*event.Label]uint32

	shapeNumbers  numbers[shape]
	taskNumbers   numbers[event.Task]
	socketNumbers numbers[event.ID]

	shapes  []shape
	strings []string
	addrs   []netip.Addr
	tasks   []event.Task
	labels  []*event.Label
	sockets []socket
	current int // the row's socket; none where it is no number of one

	time       event.Time // of the row before
	tick       event.Time // the tick before
	cookie     uint64     // of the new socket before
	localPort  uint16     // given before
	remotePort uint16
	port       uint16 // given alone before
	cgroup     uint64
	inode      uint64

	known map[event.Label]*event.Label // of all blocks, each label once
}

// A socket is what the rows of one have in common.
type socket struct {
	id            event.ID
	local, remote netip.AddrPort
	isns          event.ISNs // as last told
	twin          int        // 1 + the number of the one with the same addresses, swapped; 0: none
}

// maxLabels bounds the labels that a reader remembers.
const maxLabels = 16384

// reset begins a block. The columns are emptied, and kept.
func (b *block) reset() {
	if b.writing {
		b.resetWriting()
	}
	b.rows, b.err = 0, nil
	b.shapes, b.strings, b.addrs = b.shapes[:0], b.strings[:0], b.addrs[:0]
	b.tasks, b.labels, b.sockets = b.tasks[:0], b.labels[:0], b.sockets[:0]
	b.time, b.tick, b.cookie, b.localPort, b.remotePort, b.port, b.cgroup, b.inode = 0, 0, 0, 0, 0, 0, 0, 0
}

func (b *block) resetWriting() {
	if b.stringNumbers == nil {
		b.stringNumbers, b.addrNumbers = map[string]uint32{}, map[netip.Addr]uint32{}
		b.labelNumbers = map[*event.Label]uint32{}
	}
	b.shapeNumbers.clear()
	b.taskNumbers.clear()
	b.socketNumbers.clear()
	clear(b.stringNumbers)
	clear(b.addrNumbers)
	clear(b.labelNumbers)
	for i := range b.data {
		b.data[i] = b.data[i][:0]
	}
}

// string codes a reference to a string: 0 is "", 1 the next new one, else 2 +
// its number in the block.
func (b *block) string(col column, s *string) {
	if b.writing {
		b.putString(col, *s)
		return
	}
	switch n := b.get(col); {
	case n == 0:
		*s = ""
	case n == 1:
		*s = string(b.take(colStrings, b.get(colStrings)))
		b.strings = append(b.strings, *s)
	case n-2 < uint64(len(b.strings)):
		*s = b.strings[n-2]
	default:
		b.fail()
		*s = ""
	}
}

func (b *block) putString(col column, s string) {
	if s == "" {
		b.put(col, 0)
		return
	}
	if n, ok := b.stringNumbers[s]; ok {
		b.put(col, uint64(n)+2)
		return
	}
	b.stringNumbers[s] = uint32(len(b.stringNumbers))
	b.put(col, 1)
	b.put(colStrings, uint64(len(s)))
	b.data[colStrings] = append(b.data[colStrings], s...)
}

// address codes an address.
func (b *block) address(a *netip.Addr) {
	if b.writing {
		b.putAddress(*a)
		return
	}
	switch n := b.get(colAddress); {
	case n == 0:
		*a = b.newAddress()
		b.addrs = append(b.addrs, *a)
	case n <= uint64(len(b.addrs)):
		*a = b.addrs[n-1]
	default:
		b.fail()
		*a = netip.Addr{}
	}
}

// zoned says that 16 bytes and a zone follow.
const zoned = 17

func (b *block) putAddress(a netip.Addr) {
	if n, ok := b.addrNumbers[a]; ok {
		b.put(colAddress, uint64(n)+1)
		return
	}
	b.addrNumbers[a] = uint32(len(b.addrNumbers))
	b.put(colAddress, 0)
	raw := a.AsSlice()
	if a.Zone() != "" {
		b.putByte(colNewAddress, zoned)
		b.data[colNewAddress] = append(b.data[colNewAddress], raw...)
		b.putString(colNewAddress, a.Zone())
		return
	}
	b.putByte(colNewAddress, byte(len(raw)))
	b.data[colNewAddress] = append(b.data[colNewAddress], raw...)
}

func (b *block) newAddress() netip.Addr {
	n := b.getByte(colNewAddress)
	switch n {
	case 0:
		return netip.Addr{}
	case 4, 16:
		a, _ := netip.AddrFromSlice(b.take(colNewAddress, uint64(n)))
		return a
	case zoned:
		a, _ := netip.AddrFromSlice(b.take(colNewAddress, 16))
		var zone string
		b.string(colNewAddress, &zone)
		return a.WithZone(zone)
	}
	b.fail()
	return netip.Addr{}
}

// task codes a process, which may be none.
func (b *block) task(t *event.Task) {
	if b.writing {
		place := uint64(t.PID)
		n, ok := b.taskNumbers.of(t, place)
		if ok {
			b.put(colTask, uint64(n)+1)
			return
		}
		b.taskNumbers.add(t, place, uint32(len(b.taskNumbers.all)))
		b.put(colTask, 0)
		b.newTask(t)
		return
	}
	switch n := b.get(colTask); {
	case n == 0:
		b.newTask(t)
		b.tasks = append(b.tasks, *t)
	case n <= uint64(len(b.tasks)):
		*t = b.tasks[n-1]
	default:
		b.fail()
	}
}

func (b *block) newTask(t *event.Task) {
	number(&b.coder, colTaskPID, &t.PID)
	number(&b.coder, colTaskUID, &t.UID)
	cgroup := int64(t.Cgroup - b.cgroup)
	signed(&b.coder, colTaskCgroup, &cgroup)
	t.Cgroup = b.cgroup + uint64(cgroup)
	b.cgroup = t.Cgroup
	b.comm(&t.Comm)
	b.label(&t.Label)
}

// comm codes a name: its bytes up to the first zero, or more of them where
// others follow that.
func (b *block) comm(c *[16]byte) {
	name := c[:]
	for len(name) > 0 && name[len(name)-1] == 0 {
		name = name[:len(name)-1]
	}
	s := string(name)
	b.string(colTaskComm, &s)
	if len(s) > len(c) {
		b.fail()
	}
	*c = [16]byte{}
	copy(c[:], s)
}

func (b *block) label(l **event.Label) {
	if b.writing {
		b.putLabel(*l)
		return
	}
	switch n := b.get(colTaskLabel); {
	case n == 0:
		*l = nil
	case n == 1:
		var found event.Label
		b.newLabel(&found)
		*l = b.intern(found)
		b.labels = append(b.labels, *l)
	case n-2 < uint64(len(b.labels)):
		*l = b.labels[n-2]
	default:
		b.fail()
	}
}

func (b *block) putLabel(l *event.Label) {
	if l == nil {
		b.put(colTaskLabel, 0)
		return
	}
	if n, ok := b.labelNumbers[l]; ok {
		b.put(colTaskLabel, uint64(n)+2)
		return
	}
	b.labelNumbers[l] = uint32(len(b.labelNumbers))
	b.put(colTaskLabel, 1)
	b.newLabel(l)
}

func (b *block) newLabel(l *event.Label) {
	for _, s := range []*string{&l.Container, &l.Runtime, &l.Unit, &l.PodUID, &l.Cgroup, &l.Exe, &l.Cmdline} {
		b.string(colLabel, s)
	}
	b.string(colLabelHost, &l.Host)
}

// intern returns the one label with these contents: a process that is named in
// two blocks then has one, as it had when it was recorded.
func (b *block) intern(l event.Label) *event.Label {
	if known, ok := b.known[l]; ok {
		return known
	}
	if len(b.known) >= maxLabels || b.known == nil {
		b.known = map[event.Label]*event.Label{} // those in use live on
	}
	b.known[l] = &l
	return &l
}

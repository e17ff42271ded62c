package recording

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/tcptrace/tcptrace/internal/census"
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// begin codes the shape of a row that is no event's, when writing.
func (b *block) begin(k kind, state tcp.State, has uint32) {
	if b.writing {
		s := newShape(k, 0, state, 0, 0, has)
		b.shape(&s)
	}
}

func (b *block) tickRow(now *event.Time) {
	b.begin(rowTick, 0, 0)
	// Whole milliseconds, and so short, unless somebody wants it otherwise.
	const unit = 1_000_000
	var whole, rest int64
	if b.writing {
		d := int64(*now - b.tick)
		whole, rest = d/unit, d%unit
	}
	signed(&b.coder, colTick, &whole)
	signed(&b.coder, colTickRest, &rest)
	*now = b.tick + event.Time(whole*unit+rest)
	b.tick = *now
}

func (b *block) infoRow(info *Info) error {
	b.begin(rowInfo, 0, 0)
	if b.writing {
		text, err := json.Marshal(info)
		if err != nil {
			return fmt.Errorf("write down what the recording is of: %w", err)
		}
		b.put(colInfo, uint64(len(text)))
		b.data[colInfo] = append(b.data[colInfo], text...)
		return nil
	}
	text := b.take(colInfo, b.get(colInfo))
	if b.err != nil {
		return b.err
	}
	*info = Info{}
	if err := json.Unmarshal(text, info); err != nil {
		return fmt.Errorf("read what it is of: %w", err)
	}
	return nil
}

// maxNamed bounds the sysctls of a namespace, and its devices' addresses.
const maxNamed = 4096

func (b *block) namespaceRow(n *Namespace) {
	b.begin(rowNamespace, 0, 0)
	number(&b.coder, colNetNS, &n.NetNS)
	b.string(colNetNSName, &n.Name)
	n.Sysctls = named(b, colSysctls, n.Sysctls, strings.Compare, func(name *string) { b.string(colSysctls, name) })
	n.Devices = named(b, colDevices, n.Devices, netip.Addr.Compare, func(addr *netip.Addr) { b.address(addr) })
}

// named codes a namespace's names by K, in a column whose first field is how many
// there are, and returns it; nil where there are none.
func named[K comparable](b *block, col column, t map[K]string, compare func(K, K) int, code func(*K)) map[K]string {
	count := uint64(len(t))
	number(&b.coder, col, &count)
	if count > maxNamed {
		b.fail()
		return nil
	}
	if b.writing {
		for _, key := range slices.SortedFunc(maps.Keys(t), compare) {
			name := t[key]
			code(&key)
			b.string(col, &name)
		}
		return t
	}
	t = nil
	for ; count > 0 && b.err == nil; count-- {
		var key K
		var name string
		code(&key)
		b.string(col, &name)
		if t == nil {
			t = map[K]string{}
		}
		t[key] = name
	}
	return t
}

func (b *block) processRow(p *Process) {
	b.begin(rowProcess, 0, hasTask)
	b.task(&p.Task)
	signed(&b.coder, colStarted, &p.Started)
}

func (b *block) snapshotRow(at *event.Time) {
	b.begin(rowSnapshot, 0, hasTime)
	b.when(at)
}

// socketRow codes a socket of a snapshot, as the kernel's tables have it: what
// census infers is not kept.
func (b *block) socketRow(s shape, v *census.Socket) {
	ev := event.Event{Time: v.Time, ID: v.ID, Local: v.Local, Remote: v.Remote, Task: v.Owner}
	if b.writing {
		how, at := b.place(&ev)
		s = newShape(rowSocket, 0, v.State, 0, 0, hasTime|hasTask|how)
		b.shape(&s)
		b.when(&ev.Time)
		b.socket(how, at, &ev)
		b.task(&ev.Task)
	} else {
		ev = event.Event{}
		b.common(s, &ev)
		*v = census.Socket{Time: ev.Time, ID: ev.ID, Local: ev.Local, Remote: ev.Remote, Owner: ev.Task, State: s.old()}
	}
	c := &b.coder
	inode := int64(v.Inode - b.inode)
	signed(c, colSocketInode, &inode)
	v.Inode = b.inode + uint64(inode)
	b.inode = v.Inode
	number(c, colSocketRecvQ, &v.RecvQ)
	number(c, colSocketSendQ, &v.SendQ)
	b.string(colSocketTimer, &v.Timer)
	signed(c, colSocketTimeLeft, &v.TimeLeft)
	number(c, colSocketTimeouts, &v.Timeouts)
	number(c, colSocketDrops, &v.Drops)
	number(c, colSocketUID, &v.UID)
	number(c, colSocketObject, &v.Object)
	flags(c, colSocketFlags, &v.Orphan, &v.Unaccepted, &v.KeepAlive)
	number(c, colSocketFD, &v.FD)
	number(c, colSocketMoreHolders, &v.MoreHolders)
	b.holders(v)
	if v.Owner.Known() && !b.writing {
		v.Via = conn.ViaSnapshot
	}
}

// maxHolders bounds the descriptors of one socket; a snapshot names fewer.
const maxHolders = 4096

func (b *block) holders(v *census.Socket) {
	count := uint64(len(v.Holders))
	number(&b.coder, colSocketHolders, &count)
	if !b.writing && count > 0 {
		if count > min(maxHolders, uint64(len(b.data[colHolderFD]))) {
			b.fail()
			return
		}
		v.Holders = make([]census.Holder, count)
	}
	for i := range v.Holders {
		h := &v.Holders[i]
		t := event.Task{PID: h.PID, UID: h.UID, Comm: h.Comm}
		b.task(&t)
		*h = census.Holder{PID: t.PID, UID: t.UID, Comm: t.Comm, FD: h.FD}
		number(&b.coder, colHolderFD, &h.FD)
	}
}

// maxDescriptors bounds those of a process; what is more is left out.
const maxDescriptors = 1 << 16

func (b *block) descriptorsRow(d *Descriptors) {
	b.begin(rowDescriptors, 0, 0)
	if b.writing && len(d.Held) > maxDescriptors {
		d.Held = d.Held[:maxDescriptors]
	}
	number(&b.coder, colDescriptors, &d.PID)
	count := uint64(len(d.Held))
	number(&b.coder, colDescriptors, &count)
	if !b.writing {
		if count > min(maxDescriptors, uint64(len(b.data[colDescriptors]))) {
			b.fail()
			return
		}
		d.Held = make([]Descriptor, count)
	}
	for i := range d.Held {
		h := &d.Held[i]
		ev := event.Event{ID: h.Socket}
		b.newSocket(&ev)
		*h = Descriptor{Socket: ev.ID, FD: h.FD}
		number(&b.coder, colDescriptors, &h.FD)
	}
}

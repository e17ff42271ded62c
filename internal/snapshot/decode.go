package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// scratchWords is the size of the buffer that an iterator is read into, in
// words, so that records lie aligned in it. The kernel hands over 32 KiB at a
// time.
const scratchWords = 64 << 10 / 8

// readRecords reads records of type T, which holds no pointers, until r ends,
// and hands them over some at a time. They are only valid during the call.
func readRecords[T any](ctx context.Context, r io.Reader, scratch []uint64, handle func([]T)) error {
	var record T
	size := int(unsafe.Sizeof(record))
	buf := unsafe.Slice((*byte)(unsafe.Pointer(&scratch[0])), len(scratch)*8)
	have := 0
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(buf[have:])
		have += n
		whole := have / size
		if whole > 0 {
			handle(unsafe.Slice((*T)(unsafe.Pointer(&buf[0])), whole))
			have = copy(buf, buf[whole*size:have])
		}
		switch {
		case errors.Is(err, syscall.EAGAIN):
			// The kernel has passed a million objects without a record.
		case err == io.EOF && have > 0:
			return fmt.Errorf("a record ends after %d of %d bytes", have, size)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// decode fills in all of s but its holders.
func decode(raw *bpf.SnapshotTtSocket, hz uint64, s *Socket) error {
	state := tcp.State(raw.State)
	if !state.Valid() || raw.Object < uint8(Full) || raw.Object > uint8(TimeWait) ||
		raw.Timer > uint8(ProbeTimer) || raw.Family != 4 && raw.Family != 6 {
		return fmt.Errorf("record with state %d, object %d, timer %d, family %d",
			raw.State, raw.Object, raw.Timer, raw.Family)
	}
	flags := bpf.SnapshotTtSocketFlag(raw.Flags)
	*s = Socket{
		Time:        event.Time(raw.TimeNs),
		ID:          event.ID{NetNS: raw.Netns, Cookie: raw.Cookie},
		Local:       endpoint(&raw.Local, raw.LocalPort, raw.Family),
		Inode:       raw.Inode,
		RecvQ:       raw.RecvQ,
		SendQ:       raw.SendQ,
		TimeLeft:    max(0, time.Duration(raw.TimerJiffies)*time.Second/time.Duration(hz)),
		Idle:        time.Duration(raw.IdleJiffies) * time.Second / time.Duration(hz),
		UID:         raw.Uid,
		Drops:       raw.Drops,
		State:       state,
		Object:      Object(raw.Object),
		Timer:       Timer(raw.Timer),
		Retransmits: raw.Retransmits,
		Orphan:      flags&bpf.SnapshotTtSocketFlagTT_S_ORPHAN != 0,
		Unaccepted:  flags&bpf.SnapshotTtSocketFlagTT_S_UNACCEPTED != 0,
		KeepAlive:   flags&bpf.SnapshotTtSocketFlagTT_S_KEEPALIVE != 0,
	}
	if raw.RemotePort != 0 {
		s.Remote = endpoint(&raw.Remote, raw.RemotePort, raw.Family)
	}
	return nil
}

// endpoint makes an address of the family that the socket speaks. An IPv6
// socket that speaks IPv4 may have "::" for an address that is not set.
func endpoint(addr *[16]byte, port uint16, family uint8) netip.AddrPort {
	if family == 4 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(addr[12:])), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(*addr), port)
}

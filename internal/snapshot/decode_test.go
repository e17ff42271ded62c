package snapshot

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/btf"

	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// The records are laid out in Go as the kernel side writes them.
func TestLayout(t *testing.T) {
	spec, err := bpf.LoadSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	for name, record := range map[string]any{"tt_socket": bpf.SnapshotTtSocket{}, "tt_holder": bpf.SnapshotTtHolder{}} {
		var want *btf.Struct
		if err := spec.Types.TypeByName(name, &want); err != nil {
			t.Fatal(err)
		}
		got := reflect.TypeOf(record)
		if got.Size() != uintptr(want.Size) || want.Size > 128 {
			t.Errorf("%s has %d bytes in Go and %d in C", name, got.Size(), want.Size)
		}
		for _, m := range want.Members {
			if m.Name == "pad" {
				continue
			}
			field, found := got.FieldByNameFunc(func(f string) bool {
				return strings.EqualFold(f, strings.ReplaceAll(m.Name, "_", ""))
			})
			if !found || field.Offset != uintptr(m.Offset.Bytes()) {
				t.Errorf("%s.%s is at %d in C, %v in Go", name, m.Name, m.Offset.Bytes(), field)
			}
		}
	}
}

func mapped(addr string) [16]byte { return netip.MustParseAddr("::ffff:" + addr).As16() }

func TestDecode(t *testing.T) {
	raw := bpf.SnapshotTtSocket{
		TimeNs: 11, Cookie: 0xabc, Inode: 12, Netns: 13, Uid: 14, RecvQ: 15, SendQ: 16, Drops: 17,
		Local: mapped("10.0.0.1"), LocalPort: 80, Remote: mapped("10.0.0.2"), RemotePort: 4000, Family: 4,
		Object: uint8(bpf.SnapshotTtObjectTT_FULL), State: 1,
		Timer: uint8(bpf.SnapshotTtTimerTT_TIMER_PROBE), TimerJiffies: 50, Retransmits: 3,
		Flags: uint8(bpf.SnapshotTtSocketFlagTT_S_ORPHAN | bpf.SnapshotTtSocketFlagTT_S_KEEPALIVE),
	}
	want := Socket{
		Time: 11, ID: event.ID{NetNS: 13, Cookie: 0xabc}, Inode: 12, UID: 14, RecvQ: 15, SendQ: 16, Drops: 17,
		Local: netip.MustParseAddrPort("10.0.0.1:80"), Remote: netip.MustParseAddrPort("10.0.0.2:4000"),
		Object: Full, State: tcp.Established, Timer: ProbeTimer, TimeLeft: 200 * time.Millisecond, Retransmits: 3,
		Orphan: true, KeepAlive: true,
	}
	var got Socket
	if err := decode(&raw, 250, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}

	raw.TimerJiffies = -3 // due, and its handler waits for the socket
	raw.Family, raw.Local = 6, netip.MustParseAddr("fe80::1").As16()
	raw.RemotePort = 0
	if err := decode(&raw, 250, &got); err != nil || got.TimeLeft != 0 || got.Remote.IsValid() ||
		got.Local != netip.MustParseAddrPort("[fe80::1]:80") {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, spoil := range []func(*bpf.SnapshotTtSocket){
		func(r *bpf.SnapshotTtSocket) { r.State = 0 },
		func(r *bpf.SnapshotTtSocket) { r.State = 12 },
		func(r *bpf.SnapshotTtSocket) { r.Object = 0 },
		func(r *bpf.SnapshotTtSocket) { r.Object = 4 },
		func(r *bpf.SnapshotTtSocket) { r.Timer = 5 },
		func(r *bpf.SnapshotTtSocket) { r.Family = 5 },
	} {
		bad := raw
		spoil(&bad)
		if err := decode(&bad, 250, &got); err == nil {
			t.Errorf("no error for %+v", bad)
		}
	}
}

// again says once in a while that there is nothing yet.
type again struct {
	io.Reader
	calls int
}

func (a *again) Read(p []byte) (int, error) {
	if a.calls++; a.calls%3 == 0 {
		return 0, syscall.EAGAIN
	}
	return a.Reader.Read(p)
}

// Records arrive whole, however the kernel cuts them.
func TestReadRecords(t *testing.T) {
	sent := make([]bpf.SnapshotTtHolder, 101)
	for i := range sent {
		sent[i].Cookie = uint64(i) + 1
	}
	size := int(unsafe.Sizeof(sent[0]))
	text := string(unsafe.Slice((*byte)(unsafe.Pointer(&sent[0])), len(sent)*size))
	ctx := context.Background()
	read := func(r io.Reader, words int) ([]bpf.SnapshotTtHolder, error) {
		var got []bpf.SnapshotTtHolder
		err := readRecords(ctx, r, make([]uint64, words), func(raw []bpf.SnapshotTtHolder) {
			got = append(got, raw...)
		})
		return got, err
	}
	for name, r := range map[string]io.Reader{
		"whole":   strings.NewReader(text),
		"bytes":   iotest.OneByteReader(strings.NewReader(text)),
		"halves":  iotest.HalfReader(strings.NewReader(text)),
		"eof":     iotest.DataErrReader(strings.NewReader(text)),
		"waiting": &again{Reader: iotest.HalfReader(strings.NewReader(text))},
	} {
		if got, err := read(r, 100); err != nil || !slices.Equal(got, sent) {
			t.Errorf("%s: %d records, %v", name, len(got), err)
		}
	}
	if got, err := read(strings.NewReader(text[:size+7]), 100); err == nil || len(got) != 1 {
		t.Errorf("cut off: %d records, %v", len(got), err)
	}
	if _, err := read(iotest.ErrReader(syscall.EIO), 100); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v, want EIO", err)
	}
}

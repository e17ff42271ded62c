package snapshot

import (
	"slices"
	"testing"

	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

func newJoiner(held bool, sockets ...Socket) *joiner {
	j := &joiner{snap: &Snapshot{Sockets: sockets}, held: held, read: map[uint32]bool{1: true}}
	j.index()
	return j
}

func sock(netns uint32, cookie uint64) Socket {
	return Socket{ID: event.ID{NetNS: netns, Cookie: cookie}}
}

func holder(netns uint32, cookie, inode uint64, pid, fd uint32) *bpf.SnapshotTtHolder {
	return &bpf.SnapshotTtHolder{Netns: netns, Cookie: cookie, Inode: inode, Pid: pid, Fd: fd}
}

// Threads whose leader has ended show their table once each; it is one table.
func TestJoiner_ThreadsOfAnEndedLeader(t *testing.T) {
	j := newJoiner(false, sock(1, 5))
	for range 3 {
		j.add(holder(1, 5, 0, 100, 3))
		j.add(holder(1, 5, 0, 100, 4))
	}
	j.add(holder(1, 5, 0, 101, 3))
	j.finish()
	want := []Holder{{PID: 100, FD: 3}, {PID: 100, FD: 4}, {PID: 101, FD: 3}}
	if got := j.snap.Sockets[0].Holders; !slices.Equal(got, want) {
		t.Errorf("holders %+v, want %+v", got, want)
	}
}

// A socket read twice, as it may be while it moves, is listed as it was last;
// those without a cookie are all kept.
func TestJoiner_ReadTwice(t *testing.T) {
	first, second := sock(1, 5), sock(1, 5)
	first.State, second.State = tcp.Established, tcp.CloseWait
	j := newJoiner(false, sock(1, 0), first, sock(1, 0), sock(1, 6), second, sock(1, 7))
	j.add(holder(1, 7, 0, 100, 3))
	j.finish()
	var got []uint64
	for _, s := range j.snap.Sockets {
		got = append(got, s.ID.Cookie)
	}
	if !slices.Equal(got, []uint64{0, 5, 0, 6, 7}) || j.snap.Sockets[1].State != tcp.CloseWait {
		t.Errorf("cookies %v, the second in %v", got, j.snap.Sockets[1].State)
	}
	if len(j.snap.Sockets[4].Holders) != 1 {
		t.Errorf("the last has holders %+v", j.snap.Sockets[4].Holders)
	}
}

// A holder waits for its namespace to be read, if it is to be; one whose
// socket was made after the reading is of no socket listed.
func TestJoiner_LateNamespace(t *testing.T) {
	for _, held := range []bool{true, false} {
		j := newJoiner(held, sock(1, 5))
		j.add(holder(1, 9, 0, 100, 3))
		j.add(holder(2, 6, 0, 100, 4))
		j.add(holder(3, 8, 0, 100, 5))
		j.snap.Sockets = append(j.snap.Sockets, sock(2, 6))
		j.read[2] = true
		j.index()
		j.late()
		j.finish()
		if got := len(j.snap.Sockets[1].Holders); held != (got == 1) {
			t.Errorf("held %v: %d holders", held, got)
		}
		if len(j.snap.Sockets[0].Holders) != 0 || j.snap.LostHolders != 0 {
			t.Errorf("held %v: %+v", held, j.snap)
		}
	}
}

// All the subflows of an MPTCP socket have its inode.
func TestJoiner_SubflowsByInode(t *testing.T) {
	subflow := func(cookie uint64) Socket { s := sock(1, cookie); s.Inode = 77; return s }
	j := newJoiner(false, subflow(5), sock(1, 6), subflow(7))
	j.add(holder(1, 0, 77, 100, 3))
	j.finish()
	for i, want := range []int{1, 0, 1} {
		if got := len(j.snap.Sockets[i].Holders); got != want {
			t.Errorf("socket %d has %d holders, want %d", i, got, want)
		}
	}
}

// Descriptors that wait are bounded, and those beyond are counted.
func TestJoiner_Bounded(t *testing.T) {
	j := newJoiner(true)
	for i := range uint32(maxWaiting + 23) {
		j.add(holder(2, uint64(i)+1, 0, 100, i))
	}
	if len(j.unread) != maxWaiting || j.snap.LostHolders != 23 {
		t.Errorf("%d wait and %d are lost, want %d and 23", len(j.unread), j.snap.LostHolders, maxWaiting)
	}
}

// The table finds every cookie, whether they follow each other or not.
func TestTable(t *testing.T) {
	for _, step := range []uint64{1, 2, 1 << 20, 1 << 40, 0x9E3779B97F4A7C15} {
		table := newTable(1009)
		for i := range uint64(1009) {
			*table.find((i + 1) * step) = slot{(i + 1) * step, int32(i)}
		}
		for i := range uint64(1009) {
			if s := table.find((i + 1) * step); s.cookie != (i+1)*step || s.at != int32(i) {
				t.Fatalf("step %x: found %+v for %d", step, *s, i)
			}
		}
		if s := table.find(1009*step + 1); s.cookie != 0 {
			t.Errorf("step %x: found %+v for none", step, *s)
		}
	}
}

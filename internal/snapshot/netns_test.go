//go:build linux

package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// inOtherNet calls f in a network namespace of its own, which is left when f
// returns, on a thread that ends then.
func inOtherNet(t *testing.T, f func(inode uint32)) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		privateNet(t)
		f(ownInode(t))
	}()
	<-done
}

// Sockets of several namespaces are listed in one snapshot, each of its own,
// and the reader's thread stays where it was.
func TestTake_Namespaces(t *testing.T) {
	r := newReader(t)
	privateNet(t)
	home := ownInode(t)
	here := listen(t, loopback, 7)
	var there *socket
	var other uint32
	stay, left := make(chan struct{}), make(chan struct{})
	ready := make(chan string)
	go func() {
		defer close(left)
		inOtherNet(t, func(inode uint32) {
			there, other = listen(t, loopback, 7), inode
			ready <- fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
			<-stay
		})
	}()
	path := <-ready
	namespaces := []NetNS{{home, "/proc/thread-self/ns/net"}, {other, path}, {other, path}, {0, path}, {1, "/proc/0/ns/net"}}
	namespaces[0].Path = ownNamespace()
	snap := take(t, r, Options{Namespaces: namespaces})
	close(stay)
	<-left
	if len(snap.Sockets) != 2 || len(snap.Unread) != 0 {
		t.Fatalf("%d sockets, %d namespaces unread: %+v", len(snap.Sockets), len(snap.Unread), snap)
	}
	for _, want := range []struct {
		*socket
		ns uint32
	}{{here, home}, {there, other}} {
		s := find(t, snap, "listener", byCookie(want.cookie()))
		if s.ID.NetNS != want.ns || len(s.Holders) != 1 || s.Holders[0].FD != uint32(want.fd) {
			t.Errorf("%+v, want namespace %d, descriptor %d", *s, want.ns, want.fd)
		}
	}
	if now := ownInode(t); now != home {
		t.Errorf("the thread is in namespace %d, was in %d", now, home)
	}
}

// A namespace that no process lives in and no file leads to is found by the
// socket that a process holds of it, and only if asked for.
func TestTake_HeldNamespace(t *testing.T) {
	r := newReader(t)
	privateNet(t)
	var there *socket
	var other uint32
	inOtherNet(t, func(inode uint32) { there, other = listen(t, loopback, 7), inode })

	if snap := take(t, r, Options{}); len(snap.Sockets) != 0 {
		t.Errorf("%d sockets of other namespaces", len(snap.Sockets))
	}
	s := find(t, take(t, r, Options{Held: true}), "listener", byCookie(there.cookie()))
	if s.ID.NetNS != other || len(s.Holders) != 1 || s.Holders[0].FD != uint32(there.fd) || s.Holders[0].PID != uint32(os.Getpid()) {
		t.Errorf("%+v, want namespace %d, descriptor %d", *s, other, there.fd)
	}
}

// A namespace that is gone is no error; one that cannot be entered is told.
func TestTake_UnreadableNamespace(t *testing.T) {
	r := newReader(t)
	privateNet(t)
	snap := take(t, r, Options{Namespaces: []NetNS{
		{7, "/run/netns/gone"}, {8, ownNamespace()}, {0, "/proc/self/ns/uts"},
	}})
	if len(snap.Sockets) != 0 || len(snap.Unread) != 1 || !errors.Is(snap.Unread[0].Err, unix.EINVAL) {
		t.Errorf("%d sockets, unread %+v, want only the UTS namespace", len(snap.Sockets), snap.Unread)
	}
}

func TestTake_Cancelled(t *testing.T) {
	r := newReader(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if snap, err := r.Take(ctx, Options{}); !errors.Is(err, context.Canceled) || snap != nil {
		t.Errorf("Take = %v, %v, want context.Canceled", snap, err)
	}
}

package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A space is a network namespace that one thread of ours is in.
type space struct {
	inode uint32
	path  string // the thread's, while it is there
	move  func() error
	leave func() // returns when the thread has left
}

func newSpace(t testing.TB) *space {
	t.Helper()
	return placeIn(t, func() error { return unix.Unshare(unix.CLONE_NEWNET) })
}

// another moves one more thread into the namespace.
func (s *space) another(t testing.TB) *space {
	t.Helper()
	f, err := os.Open(s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return placeIn(t, func() error { return unix.Setns(int(f.Fd()), unix.CLONE_NEWNET) })
}

// placeIn moves a thread where move does.
func placeIn(t testing.TB, move func() error) *space {
	t.Helper()
	needRoot(t)
	s := &space{move: move}
	made, end, ended := make(chan error), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		s.live(made, end)
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	left := false
	s.leave = func() {
		if !left {
			left = true
			close(end)
			<-ended
		}
	}
	t.Cleanup(s.leave)
	return s
}

// live enters a new namespace with the goroutine's thread, which is not the
// main one as that speaks for the process, and stays until end is closed.
func (s *space) live(made chan<- error, end <-chan struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if unix.Gettid() == os.Getpid() {
		other := make(chan struct{})
		go func() { defer close(other); s.live(made, end) }()
		<-other
		return
	}
	home, err := s.enter()
	made <- err
	if err != nil {
		return
	}
	defer home.Close()
	<-end
	if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) != nil {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
	}
}

// enter returns the namespace that the thread came from.
func (s *space) enter() (home *os.File, err error) {
	if home, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return nil, err
	}
	if err := s.move(); err != nil {
		home.Close()
		return nil, err
	}
	s.path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
	_, ino, err := node(s.path)
	s.inode = uint32(ino)
	return home, err
}

// name does what "ip netns add" does: mounts the namespace on a file.
func (s *space) name(t testing.TB, file string) (forget func()) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(s.path, file, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	named := true
	forget = func() {
		if !named {
			return
		}
		named = false
		if err := unix.Unmount(file, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(forget)
	return forget
}

// expectNetNS asks for a namespace, and opens it.
func expectNetNS(t *testing.T, r *Resolver, want NetNS) {
	t.Helper()
	got, ok := r.NetNS(want.Inode)
	if !ok || got != want {
		t.Errorf("%d is %+v, %v, want %+v", want.Inode, got, ok, want)
		return
	}
	f, err := got.Open()
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	if _, ino, err := fileNode(f); err != nil || uint32(ino) != want.Inode {
		t.Errorf("opened %d, want %d: %v", ino, want.Inode, err)
	}
}

// ownName is the name of the process that runs the test.
func ownName(t testing.TB) string {
	t.Helper()
	s, err := newLive(t, Options{}).readStat(uint32(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	return s.comm
}

func TestNetNS_Names(t *testing.T) {
	pid, run := uint32(os.Getpid()), t.TempDir()
	blue, green, bare := newSpace(t), newSpace(t), newSpace(t)
	blue.name(t, run+"/netns/blue")
	green.name(t, run+"/docker/netns/6ed855b7d486")
	// What "ip netns" leaves behind when it is interrupted is no name.
	if err := os.WriteFile(run+"/netns/stale", nil, 0o444); err != nil {
		t.Fatal(err)
	}
	r := newLive(t, Options{Run: run})
	expectNetNS(t, r, NetNS{blue.inode, "blue", NetNSNamed, pid, run + "/netns/blue"})
	expectNetNS(t, r, NetNS{green.inode, "6ed855b7d486", NetNSDocker, pid, run + "/docker/netns/6ed855b7d486"})
	expectNetNS(t, r, NetNS{bare.inode, ownName(t), NetNSProcess, pid, bare.path})

	host, ok := r.NetNS(uint32(inode(t, "/proc/2/ns/net")))
	if !ok || host.Via != NetNSHost || host.Name != "host" || host.PID == 0 {
		t.Errorf("the one of the kernel's threads is %+v, %v", host, ok)
	}
	if n, ok := r.NetNS(7); ok {
		t.Errorf("an inode that no namespace has is %+v", n)
	}
}

func TestNetNS_WithoutAProcess(t *testing.T) {
	s, run := newSpace(t), t.TempDir()
	s.name(t, run+"/netns/empty")
	s.leave()
	r := newLive(t, Options{Run: run})
	expectNetNS(t, r, NetNS{s.inode, "empty", NetNSNamed, 0, run + "/netns/empty"})
}

func TestNetNS_NamesAgeAndScansAreFew(t *testing.T) {
	s, run := newSpace(t), t.TempDir()
	now := time.Hour
	r := newLive(t, Options{Run: run})
	r.elapsed = func() time.Duration { return now }
	unnamed := NetNS{s.inode, ownName(t), NetNSProcess, uint32(os.Getpid()), s.path}
	expectNetNS(t, r, unnamed)

	forget := s.name(t, run+"/netns/late")
	late := newSpace(t)
	now += netnsEvery
	expectNetNS(t, r, unnamed)
	if n, ok := r.NetNS(late.inode); ok {
		t.Errorf("scanned again too soon, and found %+v", n)
	}
	now++
	expectNetNS(t, r, NetNS{late.inode, unnamed.Name, NetNSProcess, unnamed.PID, late.path})
	named := NetNS{s.inode, "late", NetNSNamed, unnamed.PID, run + "/netns/late"}
	expectNetNS(t, r, named)

	// Once it is gone, its name is believed for a while; it is never entered.
	forget()
	s.leave()
	now += netnsFresh
	stale, ok := r.NetNS(s.inode)
	if !ok || stale != named {
		t.Errorf("got %+v, %v", stale, ok)
	}
	if f, err := stale.Open(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened %v, %v", f, err)
	}
	now++
	if n, ok := r.NetNS(s.inode); ok {
		t.Errorf("still known: %+v", n)
	}
}

// Of the threads that are in a namespace the one that it was found by may end.
func TestOpenNetNS_ByAnotherThread(t *testing.T) {
	s := newSpace(t)
	other := s.another(t)
	now := time.Hour
	r := newLive(t, Options{Run: t.TempDir()})
	r.elapsed = func() time.Duration { return now }
	found, ok := r.NetNS(s.inode)
	if !ok {
		t.Fatal("it is not found")
	}
	if found.Path == s.path {
		s.leave()
	} else {
		other.leave()
	}
	if f, err := r.OpenNetNS(s.inode); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("scanned again in the same moment, and opened %v, %v", f, err)
	}
	now += time.Millisecond
	f, err := r.OpenNetNS(s.inode)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, ino, err := fileNode(f); err != nil || uint32(ino) != s.inode {
		t.Errorf("opened %d, want %d: %v", ino, s.inode, err)
	}
	s.leave()
	other.leave()
	f.Close()
	now += time.Millisecond
	if f, err := r.OpenNetNS(s.inode); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened one that is gone: %v, %v", f, err)
	}
}

func TestNetNamespaces_Lists(t *testing.T) {
	run := t.TempDir()
	var want []uint32
	for i := range 23 {
		s := newSpace(t)
		want = append(want, s.inode)
		if i%3 == 0 {
			s.name(t, fmt.Sprintf("%s/netns/n%d", run, i))
			s.leave()
		}
	}
	list, err := newLive(t, Options{Run: run}).NetNamespaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 || list[0].Via != NetNSHost {
		t.Fatalf("the host's is not first: %+v", list)
	}
	seen := make(map[uint32]int)
	for i, n := range list {
		seen[n.Inode]++
		if i > 1 && list[i-1].Inode >= n.Inode {
			t.Errorf("%d after %d", n.Inode, list[i-1].Inode)
		}
	}
	for _, inode := range want {
		if seen[inode] != 1 {
			t.Errorf("%d is listed %d times", inode, seen[inode])
		}
	}
	if i := slices.IndexFunc(list[1:], func(n NetNS) bool { return n.Via == NetNSHost }); i >= 0 {
		t.Errorf("a second host: %+v", list[i+1])
	}
}

func TestNetNamespaces_WithoutProcfs(t *testing.T) {
	h := newHost(t, Options{})
	if err := os.RemoveAll(h.proc); err != nil {
		t.Fatal(err)
	}
	if list, err := h.NetNamespaces(); err == nil {
		t.Errorf("found %+v", list)
	}
}

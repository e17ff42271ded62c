package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// makeCgroup makes a cgroup of our own and returns its directory and its path
// in the hierarchy mounted at mount.
func makeCgroup(t testing.TB, mount string, below string) (dir, path string) {
	t.Helper()
	top := fmt.Sprintf("/tcptrace-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	path = top + below
	dir = mount + path
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for d := dir; strings.HasPrefix(d, mount+top); d = filepath.Dir(d) {
			if err := os.Remove(d); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		}
	})
	return dir, path
}

func inode(t testing.TB, path string) uint64 {
	t.Helper()
	_, ino, err := node(path)
	if err != nil {
		t.Fatal(err)
	}
	return ino
}

func join(t testing.TB, dir string, pid uint32) {
	t.Helper()
	if err := os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(int(pid))), 0); err != nil {
		t.Fatal(err)
	}
}

// unified returns a resolver, and where it found the cgroup v2 hierarchy.
func unified(t testing.TB, o Options) (*Resolver, string) {
	t.Helper()
	needRoot(t)
	r := newLive(t, o)
	if r.cgroups.mount == "" {
		t.Skip("no cgroup v2 hierarchy is mounted")
	}
	return r, r.cgroups.mount
}

// wantContainer asks for the cgroup with this id, of no process.
func wantContainer(t *testing.T, r *Resolver, id uint64, path string) {
	t.Helper()
	if c, ok := r.Container(id, 0, 0); !ok || c != ParsePath(path) {
		t.Errorf("cgroup %d is %+v, %v, want %s", id, c, ok, path)
	}
}

func TestCgroup_IDIsTheInodeAndTheHandle(t *testing.T) {
	_, mount := unified(t, Options{})
	dir, _ := makeCgroup(t, mount, "")
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	var id uint64
	for i, b := range handle.Bytes() { // little-endian, as where we test
		id |= uint64(b) << (8 * i)
	}
	if ino := inode(t, dir); handle.Type() != fileidKernfs || id != ino {
		t.Errorf("handle type %#x, id %d, inode %d", handle.Type(), id, ino)
	}
}

func TestCgroup_FoundByID(t *testing.T) {
	r, mount := unified(t, Options{})
	docker, dockerPath := makeCgroup(t, mount, "/docker/"+hexB)
	pod, podPath := makeCgroup(t, mount, "/kubepods.slice/kubepods-pod"+uid_+".slice/cri-containerd-"+hexA+".scope")
	wantContainer(t, r, inode(t, docker), dockerPath)
	wantContainer(t, r, inode(t, pod), podPath)
	if c, ok := r.Container(0, 0, 0); ok {
		t.Errorf("no id gives %+v", c)
	}
	if c, ok := r.Container(1<<60, 0, 0); ok {
		t.Errorf("an id that never was gives %+v", c)
	}
}

func TestCgroup_FoundOnAWalk(t *testing.T) {
	r, mount := unified(t, Options{})
	now := time.Hour
	r.cgroups.elapsed = func() time.Duration { return now }
	first, firstPath := makeCgroup(t, mount, "/docker/"+hexA)
	if c, ok := r.cgroups.walk(inode(t, first)); !ok || c != ParsePath(firstPath) {
		t.Errorf("walk found %+v, %v", c, ok)
	}
	second, secondPath := makeCgroup(t, mount, "/docker/"+hexB)
	now += walkEvery - 1
	if c, ok := r.cgroups.walk(inode(t, second)); ok {
		t.Errorf("walked again too soon, and found %+v", c)
	}
	now++
	if c, ok := r.cgroups.walk(inode(t, second)); !ok || c != ParsePath(secondPath) {
		t.Errorf("walk found %+v, %v", c, ok)
	}
}

// Where containers may be placed with cgroup v1 alone, a path that names none
// does not say that there is none.
func TestCgroup_NoContainerByIDAlone(t *testing.T) {
	r, mount := unified(t, Options{})
	dir, path := makeCgroup(t, mount, "/nginx.service")
	r.legacy = false
	wantContainer(t, r, inode(t, dir), path)
	r.legacy = true
	if c, ok := r.Container(inode(t, dir), 0, 0); ok {
		t.Errorf("got %+v", c)
	}
}

func TestCgroup_RemovedIsKnownOnlyIfSeenBefore(t *testing.T) {
	r, mount := unified(t, Options{})
	seen, seenPath := makeCgroup(t, mount, "/docker/"+hexA)
	unseen, _ := makeCgroup(t, mount, "/docker/"+hexB)
	seenID, unseenID := inode(t, seen), inode(t, unseen)
	wantContainer(t, r, seenID, seenPath)
	for _, dir := range []string{seen, unseen} {
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
	}
	wantContainer(t, r, seenID, seenPath)
	if c, ok := r.Container(unseenID, 0, 0); ok {
		t.Errorf("a removed cgroup is %+v", c)
	}
	if f, ok := r.cgroups.known.get(unseenID); !ok || !f.gone {
		t.Error("that it is gone was not remembered")
	}
}

func TestCgroup_RemembersNoMoreThanAllowed(t *testing.T) {
	r, mount := unified(t, Options{MaxCgroups: 7})
	for range 23 {
		dir, path := makeCgroup(t, mount, "")
		if c, ok := r.cgroups.find(inode(t, dir)); !ok || c != ParsePath(path) {
			t.Errorf("%s is %+v, %v", path, c, ok)
		}
	}
	if n := len(r.cgroups.known.entries); n != 7 {
		t.Errorf("%d cgroups remembered", n)
	}
}

func TestContainer_OfAProcess(t *testing.T) {
	r, mount := unified(t, Options{})
	dir, path := makeCgroup(t, mount, "/docker/"+hexB)
	c := waiter(t)
	join(t, dir, c.pid)
	want := ParsePath(path)
	// By its cgroup's id, and by its pid where the id is not known.
	for _, id := range []uint64{inode(t, dir), 0} {
		if got, ok := r.Container(id, c.pid, monotonic()); !ok || got != want {
			t.Errorf("id %d, pid %d: %+v, %v", id, c.pid, got, ok)
		}
	}
	c.end()
	if got, ok := r.Container(inode(t, dir), c.pid, monotonic()); !ok || got != want {
		t.Errorf("after its end: %+v, %v", got, ok)
	}
}

// Where a runtime places containers with cgroup v1 alone, the id says nothing.
func TestContainer_OfAProcessInV1Alone(t *testing.T) {
	r, mount := unified(t, Options{})
	v1 := filepath.Join(filepath.Dir(mount), "pids")
	if !r.legacy || inode(t, v1) == 0 {
		t.Skip("this host places processes with cgroup v2")
	}
	dir, path := makeCgroup(t, v1, "/docker/"+hexB)
	c := waiter(t)
	root := inode(t, mount)
	if got, ok := r.Container(root, 0, 0); ok {
		t.Errorf("the root's id says %+v", got)
	}
	join(t, dir, c.pid)
	at := monotonic()
	if got, ok := r.Container(root, c.pid, at); !ok || got != ParsePath(path) {
		t.Errorf("got %+v, %v, want %s", got, ok, path)
	}
	c.end()
	if got, ok := r.Container(root, c.pid, at); !ok || got != ParsePath(path) {
		t.Errorf("after its end: %+v, %v", got, ok)
	}
	if got, ok := r.Container(root, c.pid, monotonic()); ok {
		t.Errorf("of whoever has its pid by now: %+v", got)
	}
}

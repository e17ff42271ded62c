package sysctl

import (
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const finTimeout = "net.ipv4.tcp_fin_timeout"

// Each namespace has its own devices: a new one has but lo, which is down.
func TestReader_Device(t *testing.T) {
	r, err := NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ours, theirs, done := namespaces(t, func() error { return exec.Command("ip", "addr", "add", "192.0.2.7/32", "dev", "lo").Run() })
	defer done()
	for _, test := range []struct {
		netns uint32
		local string
		want  string
	}{
		{ours, "127.0.0.1", "lo"}, {ours, "192.0.2.7", ""}, {theirs, "192.0.2.7", "lo"}, {theirs, "192.0.2.8", ""}, {1, "127.0.0.1", ""},
	} {
		if got := r.Device(test.netns, netip.MustParseAddr(test.local)); got != test.want {
			t.Errorf("%s in %d is of %q, want %q", test.local, test.netns, got, test.want)
		}
	}
}

// namespaces returns the inodes of this thread's namespace and of another, in
// which prepare was called and which lives until done is.
func namespaces(t *testing.T, prepare func() error) (ours, theirs uint32, done func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this makes a network namespace: run it as root")
	}
	inode, over := make(chan uint32), make(chan struct{})
	go func() {
		runtime.LockOSThread() // and the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("unshare: %v", err)
		}
		if err := prepare(); err != nil {
			t.Error(err)
		}
		inode <- inodeOf(t)
		<-over
	}()
	return inodeOf(t), <-inode, func() { close(over) }
}

// inodeOf returns that of the thread's namespace: the leader's may be another.
func inodeOf(t *testing.T) uint32 {
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		t.Error(err)
	}
	return uint32(st.Ino)
}

// A namespace of our own has its own value, and the reader does not take it for
// the host's, nor the other way round.
func TestReader_OfEachNamespace(t *testing.T) {
	host, err := os.ReadFile("/proc/sys/net/ipv4/tcp_fin_timeout")
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs, done := namespaces(t, func() error {
		return os.WriteFile("/proc/sys/net/ipv4/tcp_fin_timeout", []byte("7"), 0)
	})
	defer done()
	r, err := NewReader([]string{finTimeout, "net.ipv4.no_such"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range 2 {
		if got, want := r.Sysctl(ours, finTimeout), strings.TrimSpace(string(host)); got != want {
			t.Errorf("ours is %q, want %q", got, want)
		}
		if got := r.Sysctl(theirs, finTimeout); got != "7" {
			t.Errorf("theirs is %q, want 7", got)
		}
	}
	if got := r.Sysctl(theirs, "net.ipv4.no_such"); got != "" {
		t.Errorf("one that does not exist is %q", got)
	}
	if got := r.Sysctl(1, finTimeout); got != "" {
		t.Errorf("that of no namespace is %q", got)
	}
}

// A namespace has no sysctl of its own for what holds for the whole host.
func TestReader_HostWide(t *testing.T) {
	_, theirs, done := namespaces(t, func() error { return nil })
	defer done()
	r, err := NewReader(hostWide)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, name := range hostWide {
		host, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := r.Sysctl(theirs, name), strings.TrimSpace(string(host)); got != want {
			t.Errorf("%s is %q, want the host's %q", name, got, want)
		}
		if got := r.Sysctl(1, name); got != "" {
			t.Errorf("%s of no namespace is %q", name, got)
		}
	}
}

package sysctl

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const finTimeout = "net.ipv4.tcp_fin_timeout"

// A namespace of our own has its own value, and the reader does not take it for
// the host's, nor the other way round.
func TestReader_OfEachNamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this makes a network namespace: run it as root")
	}
	host, err := os.ReadFile("/proc/sys/net/ipv4/tcp_fin_timeout")
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil { // the leader's may be the other's soon
		t.Fatal(err)
	}
	inode := make(chan uint32)
	done := make(chan struct{})
	defer close(done)
	go func() {
		runtime.LockOSThread() // and the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("unshare: %v", err)
		}
		if err := os.WriteFile("/proc/sys/net/ipv4/tcp_fin_timeout", []byte("7"), 0); err != nil {
			t.Error(err)
		}
		var st unix.Stat_t
		if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
			t.Error(err)
		}
		inode <- uint32(st.Ino)
		<-done
	}()
	theirs := <-inode
	r, err := NewReader([]string{finTimeout, "net.ipv4.no_such"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range 2 {
		if got, want := r.Sysctl(uint32(st.Ino), finTimeout), strings.TrimSpace(string(host)); got != want {
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

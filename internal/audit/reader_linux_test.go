package audit

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/proc"
)

// The two ways to a namespace lead to the same figures: those of a namespace
// that was just made are all 0, those of another one are not touched.
func TestReadFrom_NewNamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this makes a network namespace: it needs root")
	}
	type made struct {
		inode, tid int
		err        error
	}
	ready, done := make(chan made), make(chan struct{})
	defer close(done)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			ready <- made{err: err}
			return
		}
		defer home.Close()
		var st unix.Stat_t
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			err = unix.Stat("/proc/thread-self/ns/net", &st)
		}
		ready <- made{int(st.Ino), unix.Gettid(), err}
		<-done
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	m := <-ready
	if m.err != nil {
		t.Fatal(m.err)
	}
	names, err := proc.NewResolver(proc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := names.NetNamespaces()
	if err != nil {
		t.Fatal(err)
	}
	readings, err := readAll(all)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, r := range readings {
		if int(r.NetNS) != m.inode {
			continue
		}
		found = true
		if r.FinTimeout == 0 {
			t.Error("tcp_fin_timeout was not read")
		}
		for _, c := range Counters() {
			if v, known := r.Values.Value(c); !known || v != 0 {
				t.Errorf("%v is %d, known %v; want 0", c, v, known)
			}
		}
		t.Logf("a reading takes %v", r.Window.To.Sub(r.Window.From))
	}
	if !found {
		t.Errorf("namespace %d was not read", m.inode)
	}
	for _, ns := range all {
		if int(ns.Inode) == m.inode {
			var r Reading
			if err := r.readFrom(ns.Path[:len(ns.Path)-len("/ns/net")]); err != nil {
				t.Error(err)
			} else if v, _ := r.Values.Value(ActiveOpens); v != 0 {
				t.Errorf("by the process: ActiveOpens is %d, want 0", v)
			}
		}
	}
}

// Who led to a namespace may end before it can be entered: another is looked for.
func TestFinder_ReadsAgainByAnother(t *testing.T) {
	names, err := proc.NewResolver(proc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := names.NetNamespaces()
	if err != nil || len(all) == 0 {
		t.Fatalf("%d network namespaces: %v", len(all), err)
	}
	f := finder{names: names, wanted: []uint32{all[0].Inode}, known: map[uint32]proc.NetNS{}}
	calls := 0
	read := func(namespaces []proc.NetNS) ([]Reading, error) {
		if calls++; calls < 3 {
			return nil, nil // it had ended
		}
		return []Reading{{NetNS: namespaces[0].Inode}}, nil
	}
	readings, err := f.read(read)
	if err != nil || calls != 3 || len(readings) != 1 || readings[0].NetNS != all[0].Inode {
		t.Errorf("after %d tries %v, %v", calls, readings, err)
	}
	if readings, err = f.read(read); err != nil || calls != 4 || len(readings) != 1 {
		t.Errorf("after %d tries %v, %v; want one more", calls, readings, err)
	}
}

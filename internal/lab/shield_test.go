//go:build linux

package lab

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Our own process stands for process 1.
func TestWitness_SeesPacketsOnTheTimeOfAProcess(t *testing.T) {
	runtime.LockOSThread() // a thread that the witness knows
	defer runtime.UnlockOSThread()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, test := range []struct {
		name string
		pid  int
		seen bool
	}{{"ours", os.Getpid(), true}, {"another", os.Getppid(), false}} {
		w, err := openWitness(test.pid)
		if err != nil {
			t.Fatal(err)
		}
		for range 101 {
			c, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		n, err := w.close()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d", test.name, n)
		if (n > 0) != test.seen {
			t.Errorf("%s: seen %d times", test.name, n)
		}
	}
}

// What a test that was killed has left is removed; what a living one has is not.
func TestWitness_RemovesWhatIsLeftOver(t *testing.T) {
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	w, err := openWitness(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	instances := filepath.Dir(w.instance)
	left := filepath.Join(instances, fmt.Sprintf("%s%d-1", instancePrefix, ended.Process.Pid))
	if err := os.Mkdir(left, 0o700); err != nil {
		t.Fatal(err)
	}
	removeLeftover(instances)
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", left, err)
	}
	if _, err := w.close(); err != nil {
		t.Errorf("our own: %v", err)
	}
}

func TestUnshielded_RunsOnceWhereNothingIsHidden(t *testing.T) {
	runs := 0
	Unshielded(t.Logf, func() { runs++ })
	if runs < 1 || runs > 5 {
		t.Errorf("ran %d times", runs)
	}
}

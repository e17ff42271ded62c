//go:build linux

package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
)

func self() *event.Task {
	t := &event.Task{PID: uint32(os.Getpid())}
	copy(t.Comm[:], "self")
	return t
}

func open(t *testing.T, cmdline bool) *labeler {
	t.Helper()
	l, err := newLabeler(cmdline)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if !l.resolver.HostPIDs() {
		t.Skip("this is a PID namespace of its own: no process of the host can be seen")
	}
	return l
}

// The same process has the same label, and costs nothing the second time.
func TestLabeler(t *testing.T) {
	l := open(t, false)
	task, now := self(), monotonic()
	label := l.label(task, now)
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	if label == nil || !strings.Contains(string(text), ":"+label.Cgroup+"\n") || label.Cmdline != "" || label.Exe != "" {
		t.Fatalf("%+v, want one of these cgroups and no command line:\n%s", label, text)
	}
	if n := testing.AllocsPerRun(100, func() {
		if l.label(task, now.Add(time.Millisecond)) != label {
			t.Fatal("another label")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	if again := l.label(task, now.Add(2*trusted)); again != label {
		t.Errorf("another label, %+v, as it is looked for again", again)
	}
}

func TestLabeler_Cmdline(t *testing.T) {
	l := open(t, true)
	label := l.label(self(), monotonic())
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if label == nil || label.Exe != exe || !strings.HasPrefix(label.Cmdline, os.Args[0]) {
		t.Errorf("%+v, want program %s", label, exe)
	}
}

// A process that has ended, or was not there yet, is not known.
func TestLabeler_Unknown(t *testing.T) {
	l := open(t, true)
	if label := l.label(&event.Task{PID: 1<<22 + 1}, monotonic()); label != nil {
		t.Errorf("%+v of no process", label)
	}
	if label := l.label(self(), 1); label != nil {
		t.Errorf("%+v of this process, at boot", label)
	}
}

func TestLabeler_Bounded(t *testing.T) {
	l := open(t, false)
	now := monotonic()
	label := l.label(self(), now)
	for pid := range uint32(maxLabels + 100) {
		l.byPID[1<<22+pid] = labeled{at: now}
	}
	l.label(&event.Task{PID: 1<<22 - 1}, now)
	if len(l.byPID) != 1 || label.Cgroup == "" {
		t.Errorf("%d processes are remembered, want 1", len(l.byPID))
	}
}

package proc

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestProcess_Live(t *testing.T) {
	r := newLive(t, Options{Cmdline: true})
	before := monotonic()
	c := waiter(t)
	p, ok := r.Process(c.pid, monotonic())
	if !ok {
		t.Fatal("unknown")
	}
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	if p.Comm != "sh" || p.Exe != shell || p.UID != uint32(os.Getuid()) || p.Cmdline != "/bin/sh -c echo ready; read line" {
		t.Errorf("%+v", p)
	}
	if now, suspended := clocks(); p.Start < (before+suspended).Truncate(tick) || p.Start > now+suspended {
		t.Errorf("forked at %v, not between %v and %v", p.Start, before, now)
	}
	if p, ok := r.Process(c.pid, before-time.Second); ok {
		t.Errorf("before it was forked: %+v", p)
	}
	seen := monotonic()
	if again, ok := r.Process(c.pid, seen); !ok || again != p {
		t.Errorf("asked again: %+v", again)
	}
	c.end()
	if again, ok := r.Process(c.pid, seen); !ok || again != p {
		t.Errorf("after its exit: %+v, %v", again, ok)
	}
	if p, ok := r.Process(c.pid, 0); ok {
		t.Errorf("now: %+v", p)
	}
}

func TestProcess_LiveExecve(t *testing.T) {
	r := newLive(t, Options{Cmdline: true})
	c := spawn(t, "/bin/sh", "-c", "echo ready; read line; exec /bin/sh -c 'echo again; read line'")
	first, ok := r.Process(c.pid, 0)
	if !ok {
		t.Fatal("unknown")
	}
	if _, err := io.WriteString(c.in, "go on\n"); err != nil {
		t.Fatal(err)
	}
	c.await(t)
	second, ok := r.Process(c.pid, monotonic())
	if !ok || second.Comm != "sh" || second.Cmdline != "/bin/sh -c echo again; read line" || second.Start != first.Start {
		t.Errorf("after execve: %+v, %v", second, ok)
	}
}

func TestProcess_LiveName(t *testing.T) {
	r := newLive(t, Options{Cmdline: true})
	program := filepath.Join(t.TempDir(), "\x1b[31m) R\xff")
	if err := os.Symlink("/bin/sh", program); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("é", 5000)
	c := spawn(t, program, "-c", "echo ready; read line", long)
	p, ok := r.Process(c.pid, 0)
	if !ok {
		t.Fatal("unknown")
	}
	whole := program + " -c echo ready; read line " + long
	if p.Comm != "\x1b[31m) R\xff" || p.Cmdline != whole[:maxCmdline] {
		t.Errorf("name %q, command line of %d bytes: %q...", p.Comm, len(p.Cmdline), p.Cmdline[:80])
	}
}

package proc

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

// needRoot skips what only root is allowed to try.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

func newLive(t testing.TB, o Options) *Resolver {
	t.Helper()
	r, err := NewResolver(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// monotonic is the time that an event of now would carry.
func monotonic() time.Duration {
	now, _ := clocks()
	return now
}

// A child is a process of ours that ends with its standard input.
type child struct {
	*exec.Cmd
	pid   uint32
	end   func()
	in    io.Writer
	lines *bufio.Scanner
}

// spawn starts a program and waits until it has written its first line.
func spawn(t testing.TB, name string, args ...string) *child {
	t.Helper()
	c := &child{Cmd: exec.Command(name, args...)}
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	c.end = func() {
		if !ended {
			ended = true
			in.Close()
			c.Wait()
		}
	}
	t.Cleanup(c.end)
	c.pid, c.in, c.lines = uint32(c.Process.Pid), in, bufio.NewScanner(out)
	c.await(t)
	return c
}

// await waits until the child has written a line.
func (c *child) await(t testing.TB) {
	t.Helper()
	if !c.lines.Scan() {
		t.Fatalf("%s says nothing: %v", c.Path, c.lines.Err())
	}
}

// waiter is a shell that lives until its input ends.
func waiter(t testing.TB) *child {
	t.Helper()
	return spawn(t, "/bin/sh", "-c", "echo ready; read line")
}

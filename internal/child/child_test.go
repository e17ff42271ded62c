//go:build linux

package child

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tcptrace/tcptrace/internal/event"
)

func run(t *testing.T, args ...string) (stdout string, status int) {
	t.Helper()
	var out bytes.Buffer
	c, err := Prepare(args, Files{Stdout: &out})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if status, err = c.Wait(); err != nil {
		t.Fatal(err)
	}
	return out.String(), status
}

func TestCommand_Status(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 3": 3, "exit 255": 255, "kill -TERM $$": 143, "kill -KILL $$": 137} {
		if _, got := run(t, "sh", "-c", script); got != want {
			t.Errorf("%q: exit status %d, want %d", script, got, want)
		}
	}
}

func TestPrepare_Missing(t *testing.T) {
	directory := t.TempDir()
	for path, want := range map[string]int{"no-such-program-here": statusNotFound, filepath.Join(directory, "gone"): statusNotFound, directory: statusCannotRun} {
		_, err := Prepare([]string{path}, Files{})
		exit := new(ExitError)
		if !errors.As(err, &exit) || exit.Status != want {
			t.Errorf("%s: %v, want the status %d", path, err, want)
		}
	}
}

// A command and its children are in a cgroup of their own from their first
// instruction on, and it is gone afterwards, with a child that still runs in
// the parent's.
func TestCommand_Cgroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may make a cgroup here")
	}
	mount, own, err := ownCgroup()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	script := `grep ^0:: /proc/self/cgroup; sh -c 'grep ^0:: /proc/self/cgroup'; sleep 100 >/dev/null & echo $!`
	c, err := Prepare([]string{"sh", "-c", script}, Files{Stdout: &out})
	if err != nil {
		t.Fatal(err)
	}
	if c.Loose() != nil {
		t.Fatal(c.Loose())
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(out.String())
	if len(lines) != 3 || lines[0] != "0::"+c.cgroup.below || lines[1] != lines[0] {
		t.Fatalf("they are in %q, want %s", lines, c.cgroup.below)
	}
	sleeper, err := strconv.Atoi(lines[2])
	if err != nil {
		t.Fatal(err)
	}
	process, err := os.FindProcess(sleeper)
	if err != nil {
		t.Fatal(err)
	}
	defer process.Kill()
	for task, want := range map[event.Task]bool{
		{PID: 1, Cgroup: c.cgroup.id}:                                           true,
		{PID: 1, Cgroup: 1, Label: &event.Label{Cgroup: c.cgroup.below + "/x"}}: true,
		{PID: 1, Cgroup: 1, Label: &event.Label{Cgroup: c.cgroup.below + "x"}}:  false,
		{PID: 1, Cgroup: 1}: false,
	} {
		if got := c.Belongs(&task, 0); got != want {
			t.Errorf("%+v belongs to it: %v, want %v", task, got, want)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.cgroup.path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the cgroup is still there: %v", err)
	}
	procs, err := os.ReadFile(filepath.Join(mount, own, "cgroup.procs"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains("\n"+string(procs), "\n"+lines[2]+"\n") {
		t.Errorf("process %d, which still runs, is not where we are", sleeper)
	}
}

// Without a cgroup the parents tell, also of a child whose parent is gone.
func TestTree(t *testing.T) {
	var tr tree
	if err := tr.prepare(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `(sleep 100 >/dev/null 2>&1 & echo $!); sleep 100 >/dev/null 2>&1 & echo $!`)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range strings.Fields(string(out)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		process, err := os.FindProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		defer process.Kill()
		if !tr.has(uint32(pid), 0) {
			t.Errorf("process %d, an orphan, is not known as a descendant", pid)
		}
		process.Kill()
		process.Wait()
		if !tr.has(uint32(pid), 0) {
			t.Errorf("process %d is not known any more when it is gone", pid)
		}
	}
	for _, stranger := range []int{1, os.Getppid(), 1 << 30} {
		if tr.has(uint32(stranger), 0) {
			t.Errorf("process %d is said to be a descendant", stranger)
		}
	}
	tr.root(1 << 30)
	if tr.has(1<<30, event.Time(strange)-1) {
		// It was looked at a moment ago, but it is known to be one now.
		return
	}
	t.Error("the command itself is not known")
}

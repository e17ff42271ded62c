package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
)

// A Command is a command and its processes. Start, Wait and Belongs may be
// called from different goroutines.
type Command struct {
	cmd    *exec.Cmd
	cgroup *cgroup // nil where there is none
	why    error   // of that
	tree   tree
}

// Prepare finds the program of a command and makes a cgroup for its processes.
// It returns an ExitError where there is no such program. Close must be called
// in the end.
func Prepare(args []string, files Files) (*Command, error) {
	path, err := look(args)
	if err != nil {
		return nil, err
	}
	c := &Command{cmd: &exec.Cmd{Path: path, Args: args, Stdin: files.Stdin, Stdout: files.Stdout, Stderr: files.Stderr}}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{}
	if c.cgroup, c.why = newCgroup(); c.why != nil {
		return c, c.tree.prepare()
	}
	return c, nil
}

// Loose returns why the command has no cgroup of its own, or nil if it has one.
// Its descendants are then found by their parents in /proc as they act: one that
// is gone before anybody looks is missed.
func (c *Command) Loose() error { return c.why }

// Start starts the command. It is in its cgroup before it runs its first
// instruction. The error is an ExitError.
func (c *Command) Start() error {
	if c.cgroup != nil {
		c.cmd.SysProcAttr.UseCgroupFD, c.cmd.SysProcAttr.CgroupFD = true, int(c.cgroup.dir.Fd())
	}
	if err := c.cmd.Start(); err != nil {
		return &ExitError{statusCannotRun, fmt.Errorf("start the command: %w", err)}
	}
	c.tree.root(uint32(c.cmd.Process.Pid))
	return nil
}

// Wait waits until the command, not its descendants, has ended, and returns its
// exit status: of one that a signal killed 128 and the signal's number, as
// shells have it.
func (c *Command) Wait() (status int, err error) {
	err = c.cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
			return signalled + int(s.Signal()), nil
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}

// Signal sends the command, not its descendants, a signal.
func (c *Command) Signal(s os.Signal) { _ = c.cmd.Process.Signal(s) } // it may have ended

// Belongs reports whether a process that was just seen to act is the command's
// or descends from it.
func (c *Command) Belongs(t *event.Task, at event.Time) bool {
	if c.cgroup == nil {
		return c.tree.has(t.PID, at)
	}
	return t.Cgroup == c.cgroup.id || t.Label != nil && c.cgroup.holds(t.Label.Cgroup)
}

// Close takes the cgroup away. Descendants that still run go back to where
// tcptrace itself is. It is to be called when all events have been handled.
func (c *Command) Close() error {
	if c.cgroup == nil {
		return nil
	}
	return c.cgroup.remove()
}

// A cgroup is a cgroup v2 of our own, below the one that we are in.
type cgroup struct {
	parent string // directory
	path   string // directory
	below  string // path from the hierarchy's root
	dir    *os.File
	id     uint64 // as bpf_get_current_cgroup_id has it: the directory's inode
}

// removeTries is how often a cgroup is emptied, if processes in it go on
// forking, and removePause how long the kernel gets to let the last one go.
const (
	removeTries = 100
	removePause = 10 * time.Millisecond
)

func newCgroup() (*cgroup, error) {
	mount, own, err := ownCgroup()
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("tcptrace-%d", os.Getpid())
	g := &cgroup{parent: filepath.Join(mount, own), below: filepath.Join("/", own, name)}
	g.path = filepath.Join(g.parent, name)
	if err := os.Mkdir(g.path, 0o755); err != nil {
		return nil, fmt.Errorf("make a cgroup: %w", err)
	}
	if g.dir, err = os.Open(g.path); err != nil {
		return nil, errors.Join(fmt.Errorf("open the cgroup: %w", err), os.Remove(g.path))
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(g.dir.Fd()), &st); err != nil {
		return nil, errors.Join(fmt.Errorf("read the cgroup's id: %w", err), g.remove())
	}
	g.id = st.Ino
	return g, nil
}

// holds reports whether path, from the hierarchy's root, is this cgroup or one
// that the command has made below it.
func (g *cgroup) holds(path string) bool {
	return len(path) >= len(g.below) && path[:len(g.below)] == g.below &&
		(len(path) == len(g.below) || path[len(g.below)] == '/')
}

func (g *cgroup) remove() error {
	defer g.dir.Close()
	var err error
	for range removeTries {
		if err = removeAll(g.path, g.parent); err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		time.Sleep(removePause)
	}
	return fmt.Errorf("remove the cgroup: %w", err)
}

package proc

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A host is a procfs made of files, and a clock that the test sets.
type host struct {
	t    *testing.T
	proc string
	*Resolver
}

const flagFork = 0x40 // PF_FORKNOEXEC; of no interest here

// newHost makes a host whose pid 2 is the kernel's thread.
func newHost(t *testing.T, o Options) *host {
	t.Helper()
	h := &host{t: t, proc: t.TempDir()}
	o.Proc, o.Run = h.proc, t.TempDir()
	h.write("self/cgroup", "0::/\n")
	h.write("self/mountinfo", "")
	h.write("2/stat", statText(2, "kthreadd", "S", 0, flagKernel|flagFork, 0, 0))
	r, err := NewResolver(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	h.Resolver = r
	return h
}

func (h *host) write(name, text string) {
	h.t.Helper()
	path := filepath.Join(h.proc, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// run makes a process, forked so many seconds after boot.
func (h *host) run(pid uint32, comm string, start, stack uint64) {
	h.t.Helper()
	dir := strconv.Itoa(int(pid))
	h.write(dir+"/stat", statText(int(pid), comm, "S", 1, 0, start*100, stack))
	h.write(dir+"/status", "Name:\t"+comm+"\nUid:\t1000\t1000\t1000\t1000\n")
	h.write(dir+"/cmdline", "/usr/bin/"+comm+"\x00--run\x00")
	h.write(dir+"/cgroup", "0::/system.slice/"+comm+".service\n")
	os.Remove(filepath.Join(h.proc, dir, "exe"))
	if err := os.Symlink("/usr/bin/"+comm, filepath.Join(h.proc, dir, "exe")); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) exit(pid uint32) {
	if err := os.RemoveAll(filepath.Join(h.proc, strconv.Itoa(int(pid)))); err != nil {
		h.t.Fatal(err)
	}
}

// setClock sets the seconds since boot, of which the host slept so many.
func (h *host) setClock(boot, slept time.Duration) {
	h.clocks = func() (now, suspended time.Duration) {
		return (boot - slept) * time.Second, slept * time.Second
	}
}

// expect asks who had the pid at a second; "" stands for unknown.
func (h *host) expect(pid uint32, at time.Duration, comm string) *Process {
	h.t.Helper()
	p, ok := h.Process(pid, at*time.Second)
	switch {
	case !ok && comm != "":
		h.t.Errorf("pid %d at %d s is unknown, want %s", pid, at, comm)
	case ok && p.Comm != comm:
		h.t.Errorf("pid %d at %d s is %s, want %q", pid, at, p.Comm, comm)
	}
	return p
}

func TestProcess_AllThatIsKnown(t *testing.T) {
	h := newHost(t, Options{Cmdline: true})
	h.run(97, "curl", 10, 0x7ffc0000)
	h.setClock(20, 0)
	want := &Process{
		PID: 97, Start: 10 * time.Second, UID: 1000, Comm: "curl", Exe: "/usr/bin/curl", Cmdline: "/usr/bin/curl --run",
		Container: Container{Unit: "curl.service", Path: "/system.slice/curl.service"},
	}
	if d := cmp.Diff(want, h.expect(97, 0, "curl")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestProcess_NoCommandLineUnlessAskedFor(t *testing.T) {
	h := newHost(t, Options{})
	h.run(97, "curl", 10, 1)
	h.setClock(20, 0)
	if p := h.expect(97, 0, "curl"); p.Cmdline != "" {
		t.Errorf("command line %q", p.Cmdline)
	}
}

func TestProcess_NameIsKeptAfterExit(t *testing.T) {
	h := newHost(t, Options{})
	h.run(97, "curl", 10, 1)
	h.setClock(20, 0)
	h.expect(97, 19, "curl")
	h.exit(97)
	h.setClock(30, 0)
	h.expect(97, 19, "curl")
	h.expect(97, 20, "curl")
	h.expect(97, 10, "curl")
	h.expect(97, 9, "")  // before its time
	h.expect(97, 21, "") // it may have been gone, and another one there, by then
	h.expect(97, 0, "")
}

func TestProcess_GoneBeforeAnybodyAsked(t *testing.T) {
	h := newHost(t, Options{})
	h.setClock(20, 0)
	h.expect(97, 19, "")
	h.expect(0, 19, "")
}

func TestProcess_PIDUsedAgain(t *testing.T) {
	h := newHost(t, Options{})
	h.run(97, "curl", 10, 1)
	h.setClock(20, 0)
	h.expect(97, 15, "curl")

	h.run(97, "sshd", 30, 1)
	h.setClock(40, 0)
	h.expect(97, 35, "sshd")
	h.expect(97, 25, "") // between the last look at the one and the fork of the other
	h.expect(97, 18, "curl")
	h.expect(97, 0, "sshd")

	// The lives of one pid that are kept are few.
	for i := range uint64(9) {
		h.run(97, "job"+strconv.Itoa(int(i)), 50+10*i, 1)
		h.setClock(time.Duration(55+10*i), 0)
		h.expect(97, 0, "job"+strconv.Itoa(int(i)))
	}
	h.expect(97, 103, "job5")
	h.expect(97, 93, "")
	h.expect(97, 18, "")
}

func TestProcess_ReusedBeforeTheFirstLook(t *testing.T) {
	h := newHost(t, Options{})
	h.run(97, "sshd", 30, 1)
	h.setClock(40, 0)
	h.expect(97, 29, "") // whose event it was is not known; not sshd's
	h.expect(97, 30, "sshd")
}

func TestProcess_StartIsComparedAcrossASuspension(t *testing.T) {
	h := newHost(t, Options{})
	h.run(97, "sshd", 3700, 1) // an hour of which the host slept
	h.setClock(3800, 3600)
	h.expect(97, 99, "")
	h.expect(97, 101, "sshd")
}

func TestProcess_RunsAnotherProgram(t *testing.T) {
	h := newHost(t, Options{Cmdline: true})
	h.run(97, "sh", 10, 0x7ffc0000)
	h.setClock(20, 0)
	shell := h.expect(97, 0, "sh")
	h.run(97, "server", 10, 0x7ffd1000)
	h.setClock(30, 0)
	h.expect(97, 19, "sh") // no look needed
	server := h.expect(97, 29, "server")
	if server.Exe != "/usr/bin/server" || server.Cmdline != "/usr/bin/server --run" || server.Start != shell.Start {
		t.Errorf("after execve: %+v", server)
	}
	if shell.Comm != "sh" || shell.Exe != "/usr/bin/sh" {
		t.Errorf("what was handed out has changed: %+v", shell)
	}

	// The same name, another program.
	h.run(97, "server", 10, 0x7ffe2000)
	h.write("97/cmdline", "server\x00--again\x00")
	h.setClock(40, 0)
	if p := h.expect(97, 0, "server"); p.Cmdline != "server --again" {
		t.Errorf("after another execve: %+v", p)
	}
}

func TestProcess_ExitingKeepsWhatWasKnown(t *testing.T) {
	h := newHost(t, Options{Cmdline: true})
	h.run(97, "curl", 10, 0x7ffc0000)
	h.setClock(20, 0)
	before := h.expect(97, 0, "curl")
	h.write("97/stat", statText(97, "renamed", "Z", 1, flagExiting, 1000, 0))
	h.write("97/cmdline", "")
	h.write("97/cgroup", "4:memory:/\n0::/\n")
	h.setClock(30, 0)
	want := *before
	want.Comm = "renamed"
	if d := cmp.Diff(&want, h.expect(97, 0, "renamed")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestProcess_ForgetsTheLeastAskedFor(t *testing.T) {
	h := newHost(t, Options{MaxProcesses: 23})
	h.setClock(20, 0)
	for pid := range uint32(101) {
		h.run(pid+10, "p"+strconv.Itoa(int(pid)), 10, 1)
		h.expect(pid+10, 15, "p"+strconv.Itoa(int(pid)))
		h.exit(pid + 10)
	}
	for pid := range uint32(101) {
		want := ""
		if pid >= 101-23 {
			want = "p" + strconv.Itoa(int(pid))
		}
		h.expect(pid+10, 15, want)
	}
}

func TestProcess_PIDsOfAnotherNamespaceSayNothing(t *testing.T) {
	h := newHost(t, Options{})
	h.run(2, "nginx", 10, 1) // no kernel thread: the pid namespace is a container's
	r, err := NewResolver(h.options)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h.Resolver = r
	if r.HostPIDs() {
		t.Error("a container's pids taken for the host's")
	}
	h.run(97, "curl", 10, 1)
	h.setClock(20, 0)
	h.expect(97, 15, "")
	if c, ok := r.Container(0, 97, 0); ok {
		t.Errorf("container %+v", c)
	}
}

func TestNewResolver_WithoutProcfs(t *testing.T) {
	if _, err := NewResolver(Options{Proc: filepath.Join(t.TempDir(), "proc")}); err == nil {
		t.Error("made a resolver of nothing")
	}
}

package proc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Options say where to read, and how much to remember.
type Options struct {
	// Proc is where the host's procfs is mounted; "" is /proc.
	Proc string
	// Run holds the names of network namespaces, in netns and docker/netns;
	// "" is /run.
	Run string
	// Cgroup is where the cgroup v2 hierarchy is mounted; "" looks for it.
	Cgroup string

	// Cmdline says to read command lines too. They may hold secrets.
	Cmdline bool

	// MaxProcesses and MaxCgroups bound what is remembered; 0 is 16,384 pids
	// and 4,096 cgroups. What was not asked for the longest is forgotten.
	MaxProcesses int
	MaxCgroups   int
}

const (
	defaultProcesses = 16384
	defaultCgroups   = 4096
)

// A Resolver answers who somebody is, and remembers. One goroutine uses it.
type Resolver struct {
	options   Options
	hostPIDs  bool // procfs shows the pids that the kernel's events carry
	legacy    bool // the host places processes with cgroup v1
	cgroups   *cgroups
	processes *lru[uint32, *lives]
	netns     netnsTable

	clocks  func() (now, suspended time.Duration) // of the kernel's events
	elapsed func() time.Duration                  // since some time; cheap

	path   []byte
	buffer [16384]byte // /proc/PID/cgroup of a nested container takes 3 KiB
}

// NewResolver returns a resolver, which is to be closed. It fails where there
// is no procfs; all else that is missing makes answers unknown.
func NewResolver(o Options) (*Resolver, error) {
	setDefault(&o.Proc, "/proc")
	setDefault(&o.Run, "/run")
	setDefault(&o.MaxProcesses, defaultProcesses)
	setDefault(&o.MaxCgroups, defaultCgroups)
	begun := time.Now()
	r := &Resolver{
		options:   o,
		processes: newLRU[uint32, *lives](o.MaxProcesses),
		clocks:    clocks,
		elapsed:   func() time.Duration { return time.Since(begun) },
	}
	own, err := os.ReadFile(filepath.Join(o.Proc, "self/cgroup"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read our own cgroup: %w", err)
	}
	if _, err := os.Stat(filepath.Join(o.Proc, "self")); err != nil {
		return nil, fmt.Errorf("find procfs at %s (mount it, or name another place): %w", o.Proc, err)
	}
	r.legacy = legacy(own)
	r.hostPIDs = r.showsHostPIDs()
	r.cgroups, err = newCgroups(o.Cgroup, filepath.Join(o.Proc, "self/mountinfo"), o.MaxCgroups, r.elapsed)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Close ends the use of the resolver. Processes that it returned stay valid.
func (r *Resolver) Close() error { return r.cgroups.close() }

// HostPIDs reports whether procfs shows the pids of the host, which are those
// in events. In a container with a pid namespace of its own it does not, and
// no process is known; docker run --pid=host, or hostPID: true, cures that.
func (r *Resolver) HostPIDs() bool { return r.hostPIDs }

// The inodes of the initial namespaces (include/uapi/linux/nsfs.h). The one of
// the pid namespace is as old as namespaces' inodes, that of the network
// namespace has been fixed since Linux 6.18; no other namespace ever has it.
const (
	initialPIDNS = 0xeffffffc
	initialNetNS = 0xeffffff9
)

// kthreadd is the pid of the kernel thread that is the parent of all others.
// It is seen in the initial pid namespace alone, and is in the initial network
// namespace.
const kthreadd = 2

func (r *Resolver) showsHostPIDs() bool {
	if s, err := r.readStat(kthreadd); err == nil {
		return s.ppid == 0 && s.flags&flagKernel != 0
	}
	_, ino, err := node(filepath.Join(r.options.Proc, "self/ns/pid"))
	return err == nil && ino == initialPIDNS
}

// Container returns what is known of the container of a process: from the
// cgroup v2 id that the kernel gave with an event, and, where the host places
// processes with cgroup v1, from the process that had the pid at that time (as
// for Process). Either may be 0 for unknown. It is false where neither tells;
// a Container with nothing but a Path is one's that is in no container.
func (r *Resolver) Container(cgroup uint64, pid uint32, at time.Duration) (Container, bool) {
	c, ok := r.cgroups.find(cgroup)
	if ok && (c.ID != "" || !r.legacy) {
		return c, true
	}
	// The cgroup is gone, or says nothing on this host.
	if p, has := r.Process(pid, at); has && p.Container.Path != "" {
		return p.Container, true
	}
	if r.legacy {
		return Container{}, false // its v1 cgroup would have told
	}
	return c, ok
}

package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// maxCmdline is how much of a command line is kept, in bytes.
const maxCmdline = 4096

// A Process is what was known of a process when it was last looked at. It
// stays so when the process has exited; it is never changed.
type Process struct {
	PID   uint32        // as the host sees it
	Start time.Duration // when it was forked: CLOCK_BOOTTIME, in whole 10 ms
	UID   uint32        // real user id
	Comm  string        // of its first thread; raw bytes

	// Exe is the path of its program, in its own mount namespace, with
	// " (deleted)" behind it where the file has been replaced since. It is
	// empty for kernel threads, and where we have no right to see it.
	Exe string
	// Cmdline is its arguments with a space between them, of at most 4096
	// bytes: raw bytes, and only if Options.Cmdline asked for it.
	Cmdline string
	// Container is what its cgroup says. Its Path is empty where that could
	// not be read.
	Container Container
}

// A life is one process that had a pid.
type life struct {
	process  *Process
	stat     stat
	begin    time.Duration // stat.start, on CLOCK_MONOTONIC
	verified time.Duration // when it was last seen to have the pid, CLOCK_MONOTONIC
}

// lives are the processes that had a pid, the latest first. More than these
// few are not remembered.
type lives [4]life

// at returns the process that certainly had the pid at this time, or nil.
func (l *lives) at(when time.Duration) *Process {
	for i := range l {
		if p := &l[i]; p.process != nil && p.begin <= when && when <= p.verified {
			return p.process
		}
	}
	return nil
}

// Process returns the process that had this pid at a time on CLOCK_MONOTONIC
// (as events have it), or has it now if at is 0. It is false where that is not
// certain: the process was gone before anybody asked, or another one has its
// pid. Times of the kernel's are exact to 10 ms here: a pid that was given to
// another process within that is told from it no more.
//
// A process already asked for, at a time not later than the last look at it,
// costs no system call.
func (r *Resolver) Process(pid uint32, at time.Duration) (*Process, bool) {
	if pid == 0 || !r.hostPIDs {
		return nil, false
	}
	known, _ := r.processes.get(pid)
	if known != nil && at > 0 {
		if p := known.at(at); p != nil {
			return p, true
		}
	}
	l, ok := r.look(pid, known)
	if !ok || at > 0 && at < l.begin {
		return nil, false
	}
	return l.process, true
}

// look finds the process that has the pid now, and remembers it before those
// that are known.
func (r *Resolver) look(pid uint32, known *lives) (*life, bool) {
	now, suspended := r.clocks()
	s, err := r.readStat(pid)
	if err != nil {
		return nil, false
	}
	if known != nil && known[0].stat.start == s.start {
		l := &known[0]
		if s.execed(&l.stat) {
			r.reread(l)
		}
		l.verified = now
		return l, true
	}
	p, s, err := r.readProcess(pid)
	if err != nil {
		return nil, false
	}
	if known == nil {
		known = new(lives)
		r.processes.put(pid, known)
	}
	copy(known[1:], known[:])
	known[0] = life{process: p, stat: s, begin: s.start - suspended, verified: now}
	return &known[0], true
}

// reread replaces what is known of a process that runs another program now,
// unless it is gone by then.
func (r *Resolver) reread(l *life) {
	p, s, err := r.readProcess(l.process.PID)
	if err != nil || s.start != l.stat.start {
		return
	}
	if s.exiting() { // it has neither of these any more
		p.Exe, p.Cmdline, p.Container = l.process.Exe, l.process.Cmdline, l.process.Container
	}
	l.process, l.stat = p, s
}

// readStat reads /proc/PID/stat.
func (r *Resolver) readStat(pid uint32) (stat, error) {
	r.path = append(r.path[:0], r.options.Proc...)
	r.path = strconv.AppendUint(append(r.path, '/'), uint64(pid), 10)
	r.path = append(r.path, "/stat"...)
	f, err := os.Open(string(r.path))
	if err != nil {
		return stat{}, err
	}
	defer f.Close()
	text, err := r.read(f)
	if err != nil {
		return stat{}, err
	}
	return parseStat(text)
}

// readProcess reads what is to be known of a process. All comes from one
// descriptor of its directory, which never leads to another process.
func (r *Resolver) readProcess(pid uint32) (*Process, stat, error) {
	dir, err := os.OpenRoot(filepath.Join(r.options.Proc, strconv.FormatUint(uint64(pid), 10)))
	if err != nil {
		return nil, stat{}, fmt.Errorf("open process: %w", err)
	}
	defer dir.Close()
	p := &Process{PID: pid}
	cgroups, _ := r.readIn(dir, "cgroup")
	texts := string(cgroups)
	p.Exe, _ = dir.Readlink("exe")
	if r.options.Cmdline {
		cmdline, _ := r.readIn(dir, "cmdline")
		p.Cmdline = parseCmdline(cmdline)
	}
	status, err := r.readIn(dir, "status")
	if err != nil {
		return nil, stat{}, fmt.Errorf("read status of process: %w", err)
	}
	uid, ok := parseUID(status)
	if !ok {
		return nil, stat{}, fmt.Errorf("read status of process: %w", errStat)
	}
	// Last, so that a process that is not exiting was not when the rest was read.
	text, err := r.readIn(dir, "stat")
	if err != nil {
		return nil, stat{}, fmt.Errorf("read stat of process: %w", err)
	}
	s, err := parseStat(text)
	if err != nil {
		return nil, stat{}, fmt.Errorf("read stat of process: %w", err)
	}
	p.UID, p.Comm, p.Start = uid, s.comm, s.start
	p.Container, _ = parseCgroups([]byte(texts), s.exiting())
	return p, s, nil
}

func (r *Resolver) readIn(dir *os.Root, name string) ([]byte, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return r.read(f)
}

// read reads the beginning of a file, until the next call.
func (r *Resolver) read(f *os.File) ([]byte, error) {
	n, err := io.ReadFull(f, r.buffer[:])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return r.buffer[:n], err
}

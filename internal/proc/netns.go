package proc

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A NetNSVia says where the name of a network namespace comes from.
type NetNSVia uint8

const (
	NetNSUnnamed NetNSVia = iota
	NetNSHost             // it is the host's own: Name is "host"
	NetNSNamed            // "ip netns", or a CNI plugin, gave the name
	NetNSDocker           // Docker gave the name, of 12 hexadecimal digits
	NetNSProcess          // Name is that of the process PID, which is in it
)

// String returns the source's name in lower case, or "".
func (v NetNSVia) String() string {
	return [...]string{"", "host", "named", "docker", "process"}[min(v, NetNSProcess)]
}

// A NetNS is a network namespace.
type NetNS struct {
	Inode uint32 // as in /proc/PID/ns/net
	Name  string // raw bytes
	Via   NetNSVia
	// PID is the lowest pid of a process with a thread in it, as procfs shows
	// them, or 0 where there is none: the namespace is held by its name.
	PID uint32
	// Path leads to it as long as its name or that process is there.
	Path string
}

// Open opens the namespace, for setns. It fails where Path leads there no
// more, an error that is fs.ErrNotExist.
func (n NetNS) Open() (*os.File, error) {
	f, err := os.Open(n.Path)
	if err != nil {
		return nil, fmt.Errorf("open network namespace %d: %w", n.Inode, err)
	}
	_, ino, err := fileNode(f)
	if err == nil && uint32(ino) != n.Inode {
		err = fs.ErrNotExist
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open network namespace %d at %s: %w", n.Inode, n.Path, err)
	}
	return f, nil
}

const (
	// netnsFresh is how long names are believed: the inode of a namespace that
	// is gone may become another's.
	netnsFresh = 10 * time.Second
	// netnsEvery is the shortest time between two scans for what is not found.
	netnsEvery = time.Second
	// netnsShare is how many times longer than a scan the pause after it is.
	netnsShare = 20
	// maxNetNS bounds how many namespaces are remembered.
	maxNetNS = 65536
)

// A netnsTable is the last scan's result. A scan replaces it whole.
type netnsTable struct {
	known   map[uint32]NetNS
	scanned time.Duration // when
	took    time.Duration
	stale   bool // what led to one of them has ended
}

// NetNS returns what is known of the network namespace with this inode. It is
// false where nothing is, as when the namespace was gone before anybody asked.
// A name may be 10 s old. A scan of procfs answers for all namespaces (about
// 13 µs for each process); it is made at most every second, and takes at most
// a twentieth of the time.
func (r *Resolver) NetNS(inode uint32) (NetNS, bool) {
	now := r.elapsed()
	age := now - r.netns.scanned
	n, ok := r.netns.known[inode]
	due := age > netnsFresh || !ok && (age > netnsEvery || r.netns.stale)
	if r.netns.known == nil || due && age > netnsShare*r.netns.took {
		if _, err := r.NetNamespaces(); err != nil {
			return NetNS{}, false
		}
		n, ok = r.netns.known[inode]
	}
	return n, ok
}

// OpenNetNS opens the namespace with this inode, for setns. Where the thread that
// it was found by has ended, another one is looked for, at most every twentieth
// of the time. The error is fs.ErrNotExist where none is found.
func (r *Resolver) OpenNetNS(inode uint32) (*os.File, error) {
	for {
		n, ok := r.NetNS(inode)
		if !ok {
			return nil, fmt.Errorf("network namespace %d is not found: %w", inode, fs.ErrNotExist)
		}
		f, err := n.Open()
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		delete(r.netns.known, inode)
		r.netns.stale = true
	}
}

// NetNamespaces finds the network namespaces of the host: those that threads
// are in and those with a name, the host's first and then by inode. What is
// held by nothing but an open file or a mount elsewhere is not found, nor what
// we have no right to see; it fails only where procfs cannot be listed.
func (r *Resolver) NetNamespaces() ([]NetNS, error) {
	now := r.elapsed()
	s := netnsScan{found: make(map[uint32]NetNS), proc: r.options.Proc}
	s.host = r.hostNetNS()
	s.names(filepath.Join(r.options.Run, "netns"), NetNSNamed)
	s.names(filepath.Join(r.options.Run, "docker", "netns"), NetNSDocker)
	if err := s.processes(); err != nil {
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	r.netns = netnsTable{known: s.found, scanned: now, took: r.elapsed() - now}
	list := make([]NetNS, 0, len(s.found))
	for _, n := range s.found {
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b NetNS) int {
		switch {
		case a.Via == NetNSHost:
			return -1
		case b.Via == NetNSHost:
			return 1
		}
		return cmp.Compare(a.Inode, b.Inode)
	})
	return list, nil
}

// hostNetNS returns the inode of the initial network namespace: the fixed one,
// or the one that kthreadd is in, or else, where procfs shows the host's pids,
// that of pid 1.
func (r *Resolver) hostNetNS() uint32 {
	if !r.hostPIDs {
		return initialNetNS
	}
	for _, pid := range []string{strconv.Itoa(kthreadd), "1"} {
		if _, ino, err := node(filepath.Join(r.options.Proc, pid, "ns/net")); err == nil {
			return uint32(ino)
		}
	}
	return initialNetNS
}

// A netnsScan gathers namespaces, the best source of a name first.
type netnsScan struct {
	found map[uint32]NetNS
	proc  string
	host  uint32
}

// add takes in that path leads to the namespace with this inode.
func (s *netnsScan) add(inode uint32, name string, via NetNSVia, pid uint32, path string) {
	n, ok := s.found[inode]
	switch {
	case !ok && len(s.found) < maxNetNS:
		if inode == s.host {
			name, via = "host", NetNSHost
		}
		s.found[inode] = NetNS{Inode: inode, Name: name, Via: via, PID: pid, Path: path}
	case ok && n.PID == 0 && pid != 0:
		n.PID = pid
		s.found[inode] = n
	}
}

// names takes in the namespaces that are mounted on files of dir. A file with
// nothing mounted on it is what a namespace that is gone left behind.
func (s *netnsScan) names(dir string, via NetNSVia) {
	nsfs, _, err := node(filepath.Join(s.proc, "self/ns/net"))
	if err != nil {
		return
	}
	entries, _ := os.ReadDir(dir) // most hosts have none
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if dev, ino, err := node(path); err == nil && dev == nsfs {
			s.add(uint32(ino), e.Name(), via, 0, path)
		}
	}
}

// processes takes in the namespaces of all threads, by ascending pid.
func (s *netnsScan) processes() error {
	pids, err := numbers(s.proc)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		dir := s.proc + "/" + strconv.FormatUint(uint64(pid), 10)
		s.task(dir, dir, pid)
		// A thread can leave for another namespace by itself. The directory
		// has a link for each thread, beside its own two.
		if links(dir+"/task") <= 3 {
			continue
		}
		threads, _ := numbers(dir + "/task") // it exited: no threads
		for _, tid := range threads {
			if tid != pid {
				s.task(dir, dir+"/task/"+strconv.FormatUint(uint64(tid), 10), pid)
			}
		}
	}
	return nil
}

// task takes in the namespace of the task whose directory is dir.
func (s *netnsScan) task(process, dir string, pid uint32) {
	path := dir + "/ns/net"
	_, ino, err := node(path)
	if err != nil {
		return
	}
	inode := uint32(ino)
	if n, ok := s.found[inode]; ok && n.PID != 0 {
		return
	}
	name, via := "", NetNSUnnamed
	if comm, err := os.ReadFile(process + "/comm"); err == nil {
		name, via = strings.TrimSuffix(string(comm), "\n"), NetNSProcess
	}
	s.add(inode, name, via, pid, path)
}

// numbers returns the entries of a directory that are numbers, ascending.
func numbers(dir string) ([]uint32, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil && len(names) == 0 {
		return nil, err
	}
	var list []uint32
	for _, name := range names {
		if n, err := strconv.ParseUint(name, 10, 32); err == nil {
			list = append(list, uint32(n))
		}
	}
	slices.Sort(list)
	return list, nil
}

package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// walkEvery is the shortest time between two walks of the hierarchy, and
	// walkShare how many times longer than a walk the pause after it is.
	walkEvery = time.Second
	walkShare = 20
)

// cgroups finds the cgroup v2 directory of an id. A directory cannot be
// renamed, and an id is not used again, so what was found stays true.
type cgroups struct {
	mount string // where the hierarchy is mounted; "" where it is not
	root  *os.File
	known *lru[uint64, found]

	nextWalk time.Duration
	elapsed  func() time.Duration
}

// A found is what is known of a cgroup id: that it is gone, or its container.
type found struct {
	container Container
	gone      bool
}

// newCgroups opens the hierarchy mounted at mount, or, if that is "", at the
// place that mountinfo (/proc/PID/mountinfo) names. There may be none.
func newCgroups(mount, mountinfo string, size int, elapsed func() time.Duration) (*cgroups, error) {
	c := &cgroups{known: newLRU[uint64, found](size), elapsed: elapsed}
	if mount == "" {
		text, err := os.ReadFile(mountinfo)
		if err != nil {
			return nil, fmt.Errorf("find the cgroup v2 hierarchy: %w", err)
		}
		if mount = findMount(text); mount == "" {
			return c, nil
		}
	}
	root, err := os.Open(mount)
	if err != nil {
		return nil, fmt.Errorf("open the cgroup v2 hierarchy: %w", err)
	}
	c.mount, c.root = filepath.Clean(mount), root
	return c, nil
}

func (c *cgroups) close() error {
	if c.root == nil {
		return nil
	}
	return c.root.Close()
}

// findMount returns where mountinfo says that cgroup v2 is mounted: the usual
// places first, as containers' root directories hold copies of the mount.
func findMount(mountinfo []byte) string {
	var first string
	for line := range bytes.Lines(mountinfo) {
		before, after, _ := strings.Cut(string(line), " - ")
		fields := strings.Fields(before)
		if len(fields) < 5 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		point := unescapeMount(fields[4])
		if point == "/sys/fs/cgroup" || point == "/sys/fs/cgroup/unified" {
			return point
		}
		if first == "" {
			first = point
		}
	}
	return first
}

// unescapeMount undoes the kernel's mangle of a path in mountinfo (fs/seq_file.c,
// mangle_path): octal for space, tab, newline and backslash.
var unescapeMount = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace

// find returns the container of the cgroup with this id, and false where the
// cgroup is gone, out of sight, or not looked for again so soon.
func (c *cgroups) find(id uint64) (Container, bool) {
	if f, ok := c.known.get(id); ok {
		return f.container, !f.gone
	}
	if c.root == nil || id == 0 {
		return Container{}, false
	}
	path, err := openCgroup(c.root, id)
	switch {
	case err == nil:
		return c.learn(id, path)
	case errors.Is(err, errRemoved):
		c.known.put(id, found{gone: true})
		return Container{}, false
	}
	return c.walk(id) // the kernel or our privileges do not allow opening by id
}

// learn remembers that the cgroup with this id is the directory at path.
func (c *cgroups) learn(id uint64, path string) (Container, bool) {
	below, ok := strings.CutPrefix(path, c.mount)
	if !ok || below != "" && below[0] != '/' {
		return Container{}, false // outside of the part that is mounted here
	}
	f := found{container: ParsePath(cleanPath(below))}
	c.known.put(id, f)
	return f.container, true
}

// walk looks for id in the whole hierarchy, and remembers what it meets. It
// stops when it has found it.
func (c *cgroups) walk(id uint64) (Container, bool) {
	begin := c.elapsed()
	if begin < c.nextWalk {
		return Container{}, false
	}
	c.visit(c.mount, id)
	took := c.elapsed() - begin
	c.nextWalk = begin + max(walkEvery, walkShare*took)
	f, ok := c.known.get(id)
	return f.container, ok && !f.gone
}

// visit remembers dir and what is below, and reports whether it met id.
func (c *cgroups) visit(dir string, id uint64) bool {
	if _, ino, err := node(dir); err == nil {
		c.learn(ino, dir)
		if ino == id {
			return true
		}
	}
	// What cannot be read was removed since, or is not for us to see.
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() && c.visit(dir+"/"+e.Name(), id) {
			return true
		}
	}
	return false
}

// cleanPath makes a cgroup's path one that begins with "/", without the mark
// of a directory that was removed.
func cleanPath(path string) string {
	path = strings.TrimSuffix(path, " (deleted)")
	if path == "" {
		return "/"
	}
	return path
}

// hierarchies are the cgroup v1 hierarchies that a container's runtime or
// systemd moves processes in, the most telling first. Others, such as net_cls,
// are used by programs of their own beside a pure cgroup v2 host.
var hierarchies = []string{"name=systemd", "memory", "pids", "cpu", "devices", "freezer", "blkio"}

// legacy reports whether a host, given any process's /proc/PID/cgroup, places
// processes with cgroup v1, alone or in hybrid mode.
func legacy(text []byte) bool {
	for _, name := range hierarchies {
		if _, ok := pathIn(text, name); ok {
			return true
		}
	}
	return false
}

// parseCgroups returns what /proc/PID/cgroup tells: of its hierarchies the one
// that names a container, else the one that names a unit, else the one in which
// the process is not at the root, cgroup v2 before the others. Of an exiting
// process only cgroup v2 counts: the kernel shows it at the root of the others
// (proc_cgroup_show in kernel/cgroup/cgroup.c).
func parseCgroups(text []byte, exiting bool) (Container, bool) {
	best, ok := Container{}, false
	consider := func(name string) {
		path, has := pathIn(text, name)
		if !has {
			return
		}
		if c := ParsePath(path); !ok || telling(c) > telling(best) {
			best, ok = c, true
		}
	}
	consider("")
	if exiting {
		return best, ok && (best.Path != "/" || !legacy(text))
	}
	for _, name := range hierarchies {
		consider(name)
	}
	return best, ok
}

// telling ranks what a path tells.
func telling(c Container) int {
	switch {
	case c.ID != "":
		return 3
	case c.Unit != "" || c.PodUID != "":
		return 2
	case c.Path != "/":
		return 1
	}
	return 0
}

// pathIn returns the path in the hierarchy that has this controller, or, if
// that is "", in cgroup v2's. Lines are "id:controller,controller:path", with
// id 0 and no controller for cgroup v2 (cgroups(7)).
func pathIn(text []byte, controller string) (string, bool) {
	for line := range bytes.Lines(text) {
		whole, complete := strings.CutSuffix(string(line), "\n")
		id, rest, _ := strings.Cut(whole, ":")
		names, path, ok := strings.Cut(rest, ":")
		if !ok || !complete || (controller == "") != (id == "0") {
			continue
		}
		for name := range strings.SplitSeq(names, ",") {
			if name == controller {
				return cleanPath(path), true
			}
		}
	}
	return "", false
}

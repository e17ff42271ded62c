package symbol

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// maxFiles bounds the files whose tables are remembered.
const maxFiles = 64

// A Resolver names functions, and remembers the tables of files that it has
// read. One goroutine uses it.
type Resolver struct {
	proc  string // where procfs is mounted
	files map[identity]*table
}

// An identity tells files apart, and one that was written anew from what it was.
type identity struct {
	path  string // the program is another where a container has one of the same path
	inode uint64
	size  int64
	wrote time.Time
}

// NewResolver returns a Resolver of the processes of this host.
func NewResolver() *Resolver { return newResolver("/proc") }

func newResolver(proc string) *Resolver { return &Resolver{proc: proc, files: map[identity]*table{}} }

// Functions names, for each of the return addresses that a process's stack has,
// the function that it returns to: "main.serve (serve.go:42)", "handle+0x1c (nginx)",
// "libfoo.so.1+0x1a2b" where the file has no symbol for it, or "0x7f0012345678" where
// no file is mapped. It returns nil for a process that is gone, or that may not be
// looked at. The names are bytes that somebody chose.
func (r *Resolver) Functions(pid uint32, addresses []uint64) []string {
	all, err := mappings(r.proc, pid)
	if err != nil || len(all) == 0 { // one that ends has none
		return nil
	}
	names := make([]string, len(addresses))
	for i, address := range addresses {
		m, ok := find(all, address-1)
		if !ok {
			names[i] = "0x" + strconv.FormatUint(address, 16)
			continue
		}
		names[i] = r.name(pid, m, address-1) // the call, not what comes after it
	}
	return names
}

// name names an address in a mapping of a process.
func (r *Resolver) name(pid uint32, m mapping, address uint64) string {
	offset := address - m.begin + m.offset
	file := strings.TrimSuffix(filepath.Base(m.path), " (deleted)")
	if t := r.table(pid, m); t != nil {
		if name, ok := t.name(offset, file); ok {
			return name
		}
	}
	return file + "+0x" + strconv.FormatUint(offset, 16)
}

// table returns the functions of the file behind a mapping; nil where it cannot
// be read.
func (r *Resolver) table(pid uint32, m mapping) *table {
	f, err := r.open(pid, m)
	if err != nil {
		return nil
	}
	defer f.Close()
	id, err := identify(f, m.path)
	if err != nil {
		return nil
	}
	t, known := r.files[id]
	if !known {
		if len(r.files) >= maxFiles {
			clear(r.files)
		}
		t = readTable(f, id.size)
		r.files[id] = t // nil too: it will not become better
	}
	return t
}

// open opens the file behind a mapping: that itself, also if it is deleted or
// another has its path by now, where we may; else what has the path.
func (r *Resolver) open(pid uint32, m mapping) (*os.File, error) {
	f, err := os.Open(fmt.Sprintf("%s/%d/map_files/%x-%x", r.proc, pid, m.begin, m.end))
	if err == nil || strings.HasSuffix(m.path, " (deleted)") {
		return f, err
	}
	// It may be a pipe by now, which would wait for a writer.
	return os.OpenFile(fmt.Sprintf("%s/%d/root%s", r.proc, pid, m.path), os.O_RDONLY|nonblock, 0)
}

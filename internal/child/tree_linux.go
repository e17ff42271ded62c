package child

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
)

// A tree finds the descendants of a command by the parents that /proc tells.
type tree struct {
	mu        sync.Mutex
	members   map[uint32]bool
	strangers map[uint32]event.Time // when they were last looked at
}

const (
	// strange is how long a process that was found to be somebody else's stays
	// that. The kernel gives pids in turn.
	strange = time.Second
	// maxStrangers bounds those that are remembered.
	maxStrangers = 16384
)

// prepare makes us the parent of the descendants whose own parent has ended.
func (t *tree) prepare() error {
	t.members, t.strangers = map[uint32]bool{}, map[uint32]event.Time{}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the parent of orphans: %w", err)
	}
	return nil
}

func (t *tree) root(pid uint32) {
	if t.members == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.members[pid] = true
}

// has reports whether a process is in the tree. It is to be asked while the
// process lives: what it was then is remembered.
func (t *tree) has(pid uint32, at event.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.members[pid] {
		return true
	}
	if seen, ok := t.strangers[pid]; ok && at.Sub(seen) < strange {
		return false
	}
	if t.descends(pid) {
		return true
	}
	if len(t.strangers) >= maxStrangers {
		clear(t.strangers)
	}
	t.strangers[pid] = at
	return false
}

// descends follows a process's parents until one is known, or is us: all that
// we have started is the command.
func (t *tree) descends(pid uint32) bool {
	var path []uint32
	self := uint32(os.Getpid())
	for p := pid; p > 1 && p != self && len(path) < 1000; p = parent(p) {
		path = append(path, p)
		if up := parent(p); up == self || t.members[up] {
			for _, member := range path {
				t.members[member] = true
			}
			return true
		}
	}
	return false
}

// parent returns the pid of a process's parent, or 0 where it is not known.
func parent(pid uint32) uint32 {
	text, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(pid), 10) + "/stat")
	if err != nil {
		return 0
	}
	// The name, in parentheses, may hold anything: "pid (name) state ppid".
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 {
		return 0
	}
	n, err := strconv.ParseUint(string(fields[1]), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

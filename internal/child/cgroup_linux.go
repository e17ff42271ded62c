package child

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tcptrace/tcptrace/internal/proc"
)

// ownCgroup returns where cgroup v2 is mounted, and the cgroup that we are in,
// from there.
func ownCgroup() (mount, own string, err error) {
	mount, err = proc.CgroupMount()
	if err != nil {
		return "", "", err
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", "", fmt.Errorf("find our cgroup: %w", err)
	}
	for line := range bytes.Lines(text) {
		if own, ok := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), "0::"); ok {
			return mount, own, nil
		}
	}
	return "", "", errors.New("find our cgroup: no cgroup v2 in /proc/self/cgroup")
}

// removeAll removes the cgroup at path and those below it. Their processes go
// to the one at refuge.
func removeAll(path, refuge string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeAll(filepath.Join(path, e.Name()), refuge); err != nil {
				return err
			}
		}
	}
	pids, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
	if err != nil {
		return err
	}
	for pid := range bytes.FieldsSeq(pids) {
		// One that is gone meanwhile cannot be moved, and need not be.
		_ = os.WriteFile(filepath.Join(refuge, "cgroup.procs"), pid, 0)
	}
	return os.Remove(path)
}

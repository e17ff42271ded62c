package proc

import (
	"errors"
	"fmt"
	"os"
)

// CgroupMount returns where the cgroup v2 hierarchy is mounted.
func CgroupMount() (string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("find the cgroup v2 hierarchy: %w", err)
	}
	mount := findMount(text)
	if mount == "" {
		return "", errors.New("find the cgroup v2 hierarchy: it is not mounted")
	}
	return mount, nil
}

//go:build linux

package lab

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNotAllowed says that this process may not make network namespaces.
var ErrNotAllowed = errors.New("run as root, or with CAP_SYS_ADMIN and CAP_NET_ADMIN")

// Allowed returns ErrNotAllowed where this process lacks a capability that
// every story needs (CapEff of /proc/self/status). A test may skip on that, and
// on nothing else.
func Allowed() error {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		value, ok := strings.CutPrefix(line, "CapEff:")
		if !ok {
			continue
		}
		caps, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return fmt.Errorf("read capabilities: %w", err)
		}
		const need = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_NET_ADMIN
		if caps&need != need {
			return ErrNotAllowed
		}
	}
	return nil
}

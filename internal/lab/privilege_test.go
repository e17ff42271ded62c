//go:build linux

package lab_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// needNamespaces skips a test only where it is sure that this process may not
// make network namespaces.
func needNamespaces(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		value, ok := strings.CutPrefix(line, "CapEff:")
		if !ok {
			continue
		}
		caps, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		const need = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_NET_ADMIN
		if caps&need != need {
			t.Skip("needs root, or CAP_SYS_ADMIN and CAP_NET_ADMIN")
		}
		return
	}
	t.Fatal("no CapEff in /proc/self/status")
}

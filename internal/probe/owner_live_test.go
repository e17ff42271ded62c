//go:build linux

package probe_test

import (
	"os"
	"testing"

	"github.com/tcptrace/tcptrace/internal/lab"
)

func TestMain(m *testing.M) {
	lab.Act()
	os.Exit(m.Run())
}

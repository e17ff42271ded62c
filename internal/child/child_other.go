//go:build !linux

package child

import (
	"errors"
	"os"

	"github.com/tcptrace/tcptrace/internal/event"
)

// A Command is a command and its processes, which only Linux can tell from
// others.
type Command struct{}

var errNotLinux = errors.New("only on Linux can a command be traced")

// Prepare returns an error that says so.
func Prepare(args []string, _ Files) (*Command, error) {
	if _, err := look(args); err != nil {
		return nil, err
	}
	return nil, errNotLinux
}

// Loose is never called.
func (*Command) Loose() error { return errNotLinux }

// Start is never called.
func (*Command) Start() error { return errNotLinux }

// Wait is never called.
func (*Command) Wait() (int, error) { return 0, errNotLinux }

// Signal is never called.
func (*Command) Signal(os.Signal) {}

// Belongs is never called.
func (*Command) Belongs(*event.Task, event.Time) bool { return false }

// Close is never called.
func (*Command) Close() error { return nil }

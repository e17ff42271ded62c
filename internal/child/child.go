// Package child runs a command so that its processes, the command itself and
// all that descend from it, can be told from everybody else's: in a cgroup of
// their own, or, where none can be made, by /proc.
package child

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
)

// An ExitError says that a command could not be run, with the exit status that
// shells use for that.
type ExitError struct {
	Status int
	err    error
}

func (e *ExitError) Error() string { return e.err.Error() }
func (e *ExitError) Unwrap() error { return e.err }

// Exit statuses of a command that could not be run, as POSIX has them for env
// and nohup.
const (
	statusCannotRun = 126
	statusNotFound  = 127
	signalled       = 128 // and the signal's number
)

// Files are the standard files of a command.
type Files struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// look finds the program of a command.
func look(args []string) (string, error) {
	path, err := exec.LookPath(args[0])
	switch {
	case err == nil:
		return path, nil
	case errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist):
		return "", &ExitError{statusNotFound, fmt.Errorf("find the command: %w", err)}
	}
	return "", &ExitError{statusCannotRun, fmt.Errorf("find the command: %w", err)}
}

// Command tcptrace shows every state of every TCP connection of a Linux host:
// for how long, whose it is, and why it ended.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/snapshot"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2

	exitUnequal = 3 // an audit does not hold
)

// run executes the command line and returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	// A write to a closed pipe then returns EPIPE, and we can end in order.
	signal.Ignore(syscall.SIGPIPE)

	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := unknownCommand(root, args)
	if err == nil {
		err = root.Execute()
	}
	return report(err, stderr)
}

// report says on one line what went wrong, and what to do about it.
func report(err error, stderr io.Writer) int {
	if err == nil {
		return exitOK
	}
	text := oneLine(err)
	status := exitFailed
	if own := (*statusError)(nil); errors.As(err, &own) {
		if own.err == nil {
			return own.status
		}
		status = own.status
	}
	for _, missing := range []error{probe.ErrPrivileges, snapshot.ErrPrivileges} {
		if errors.Is(err, missing) {
			text = missing.Error()
		}
	}
	var (
		usage   *usageError
		unable  *unableError
		unequal *unequalError
	)
	switch {
	case errors.As(err, &usage):
		status = exitUsage
	case errors.As(err, &unequal):
		status = exitUnequal
	case errors.Is(err, syscall.EPIPE): // nobody reads any more
		return exitOK
	case errors.As(err, &unable):
		text += `; "tcptrace doctor" says what this host allows`
	}
	fmt.Fprintln(stderr, "tcptrace:", text)
	return status
}

// oneLine spells an error, and each of several once.
func oneLine(err error) string {
	var parts []string
	for line := range strings.Lines(err.Error()) {
		line = strings.Join(strings.Fields(line), " ")
		last := len(parts) - 1
		switch {
		case line == "" || slices.Contains(parts, line):
		case last >= 0 && strings.HasSuffix(parts[last], ":"): // it introduces this one
			parts[last] += " " + line
		default:
			parts = append(parts, line)
		}
	}
	return strings.Join(parts, "; ")
}

// An unableError says why this host cannot be traced.
type unableError struct{ err error }

func (e *unableError) Error() string { return e.err.Error() }
func (e *unableError) Unwrap() error { return e.err }

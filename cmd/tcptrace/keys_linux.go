package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// quitOnKey makes q do what Ctrl-C does, and returns what ends that. Keys are
// not echoed meanwhile. It does nothing where in is not a terminal that is ours.
func quitOnKey(in *os.File) (restore func()) {
	fd := int(in.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return func() {}
	}
	if owner, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err != nil || owner != unix.Getpgrp() {
		return func() {} // in the background, who asks for keys is stopped
	}
	keys := *before
	keys.Lflag &^= unix.ICANON | unix.ECHO
	keys.Cc[unix.VMIN], keys.Cc[unix.VTIME] = 1, 0
	keys.Cc[unix.VSUSP] = 0 // stopped, it would leave the terminal as it is
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &keys); err != nil {
		return func() {}
	}
	go func() {
		var key [1]byte
		for {
			if n, err := in.Read(key[:]); n == 0 || err != nil {
				return
			}
			if key[0] == 'q' || key[0] == 'Q' {
				_ = unix.Kill(unix.Getpid(), unix.SIGINT) // ourselves: it cannot fail
				return
			}
		}
	}()
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) } // the terminal may be gone
}

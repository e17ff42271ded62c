package symbol

import (
	"errors"
	"os"
	"syscall"
)

const nonblock = syscall.O_NONBLOCK

// identify returns what tells the file from others.
func identify(f *os.File, path string) (identity, error) {
	info, err := f.Stat()
	if err != nil {
		return identity{}, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return identity{}, errors.New("not a regular file")
	}
	return identity{path: path, inode: stat.Ino, size: info.Size(), wrote: info.ModTime()}, nil
}

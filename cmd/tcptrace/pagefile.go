package main

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A pageFile is a file that is made whole or not at all: it is written beside its
// place, and put there when it is complete. It is made to be shared, so others
// may read it as far as the user's umask lets them. It replaces nothing unless
// that is wanted, and no link is followed.
type pageFile struct {
	*bufio.Writer
	path  string
	force bool
	file  *os.File // beside path; nil for standard output
}

// createPage begins a file; "-" is out. It fails at once where the end would.
func createPage(path string, force bool, out io.Writer) (*pageFile, error) {
	p := &pageFile{path: path, force: force}
	if path == "-" {
		p.Writer = bufio.NewWriterSize(out, 64<<10)
		return p, nil
	}
	found, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("look for the file: %w", err)
	case !force:
		return nil, fmt.Errorf("%s exists already; name another file, or add --force to replace it", path)
	case !found.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file; name another one", path)
	}
	var unique [6]byte
	_, _ = rand.Read(unique[:]) // it never fails
	beside := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+hex.EncodeToString(unique[:]))
	if p.file, err = os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666); err != nil {
		return nil, fmt.Errorf("make %s: %w", path, errors.Unwrap(err))
	}
	p.Writer = bufio.NewWriterSize(p.file, 64<<10)
	return p, nil
}

// commit puts the file in its place.
func (p *pageFile) commit() error {
	err := p.Flush()
	if p.file == nil {
		return err
	}
	err = errors.Join(err, p.file.Close())
	if err == nil {
		err = p.place()
	}
	_ = os.Remove(p.file.Name()) // it has another name now, or is no good
	p.file = nil
	if err != nil {
		return fmt.Errorf("write %s: %w", p.path, err)
	}
	return nil
}

// place gives the file its name, which nobody may have taken meanwhile.
func (p *pageFile) place() error {
	if p.force {
		return os.Rename(p.file.Name(), p.path)
	}
	err := os.Link(p.file.Name(), p.path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// A file system without links.
	if _, taken := os.Lstat(p.path); !errors.Is(taken, fs.ErrNotExist) {
		return fs.ErrExist
	}
	return os.Rename(p.file.Name(), p.path)
}

// abandon removes what was written, unless it is in its place.
func (p *pageFile) abandon() {
	if p.file == nil {
		return
	}
	_ = p.file.Close()
	_ = os.Remove(p.file.Name())
	p.file = nil
}

package recording

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
)

// clear makes room for the file, if that is wanted.
func (r *Recorder) clear() error {
	old := []string{r.path}
	if r.options.Rotate > 0 {
		for n := 1; ; n++ {
			name := r.part(n)
			if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
				break
			}
			old = append(old, name)
		}
	}
	for _, name := range old {
		found, err := os.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return fmt.Errorf("look for the file: %w", err)
		case !r.options.Force:
			return fmt.Errorf("%s exists already; name another file, or add --force to replace it", name)
		case !found.Mode().IsRegular():
			return fmt.Errorf("%s exists and is no regular file; name another file", name)
		}
		if err := os.Remove(name); err != nil {
			return fmt.Errorf("replace the file: %w", err)
		}
	}
	return nil
}

// part returns the name of the nth file before the newest.
func (r *Recorder) part(n int) string { return r.path + "." + strconv.Itoa(n) }

// open begins a file.
func (r *Recorder) open() error {
	r.file = os.Stdout
	if r.path != "-" {
		// O_EXCL follows no link (open(2)).
		f, err := os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			r.file = nil
			return fmt.Errorf("create the recording: %w", err)
		}
		r.file = f
	}
	r.stream = &stream{out: r.file}
	r.parts++
	return nil
}

// Discard removes the file of a recording that did not begin.
func (r *Recorder) Discard() {
	if r.file == nil || r.path == "-" || r.stream.written > 0 {
		return
	}
	_ = r.file.Close()
	_ = os.Remove(r.path)
}

// rotate ends the file and begins another.
func (r *Recorder) rotate() error {
	end, err := newWriter(r.write)
	if err != nil {
		return err
	}
	if err := end.Close(); err != nil {
		return err
	}
	if err := r.file.Close(); err != nil {
		return fmt.Errorf("close the recording: %w", err)
	}
	r.whole += r.stream.written
	made := r.parts
	if r.options.Keep > 0 && made >= r.options.Keep {
		made = r.options.Keep - 1
		oldest := r.path
		if made > 0 {
			oldest = r.part(made)
		}
		if err := os.Remove(oldest); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the oldest file: %w", err)
		}
	}
	for n := made; n > 0; n-- {
		from := r.path
		if n > 1 {
			from = r.part(n - 1)
		}
		if err := os.Rename(from, r.part(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rename the file that is full: %w", err)
		}
	}
	r.stream = nil
	return r.open()
}

package recording

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/tcptrace/tcptrace/internal/census"
	"github.com/tcptrace/tcptrace/internal/event"
)

// FileOptions say how a Recorder keeps its files.
type FileOptions struct {
	// Force says to replace a file that is there already.
	Force bool
	// Rotate, if set, ends a file that has grown to so many bytes, and begins
	// another. PATH is the newest; PATH.1 the one before, and so on.
	Rotate uint64
	// Keep is how many files to keep of those, PATH included; 0 means all.
	Keep int
	// Hold, if set, keeps what comes in memory, the last so much of it, and
	// writes no file before Release.
	Hold time.Duration
}

// flushEvery is how often what was recorded is written, and so how much a
// recorder that is killed loses.
const flushEvery = time.Second

// A Recorder writes a recording to files, of which each can be read alone. One
// goroutine uses it. Its error is sticky: what was written until then is good.
type Recorder struct {
	path    string
	options FileOptions
	info    Info
	rows    *Writer
	file    io.WriteCloser // nil while held
	stream  *stream
	ring    ring
	parts   int    // files begun
	whole   uint64 // bytes in the files before this one

	spaces    map[uint32]Namespace
	processes []Process
	snapshot  *census.Census // of the first file

	now     event.Time // the latest seen
	good    event.Time // up to when it is written
	flushed event.Time
	err     error
}

// Create makes the file of a recording, which Begin begins. The file is made for its owner alone, and never by
// following a link; "-" is standard output. It is an error if it exists, or one
// that it may be rotated into, unless o.Force is set.
func Create(path string, o FileOptions) (*Recorder, error) {
	r := &Recorder{path: path, options: o, spaces: map[uint32]Namespace{}}
	if path == "-" {
		if o.Rotate > 0 {
			return nil, errors.New("standard output cannot be rotated: name a file")
		}
	} else if err := r.clear(); err != nil {
		return nil, err
	}
	var err error
	if r.rows, err = newWriter(r.emit); err != nil {
		return nil, err
	}
	if o.Hold > 0 {
		return r, nil
	}
	return r, r.open()
}

// Event takes in an event, which it does not keep.
func (r *Recorder) Event(ev *event.Event) {
	r.rows.Event(ev)
	r.now = max(r.now, ev.Time)
}

// Tick says that at now the source had nothing more to hand over. What is older
// than a second is written then.
func (r *Recorder) Tick(now event.Time) {
	r.rows.Tick(now)
	r.now = max(r.now, now)
	if r.flushed == 0 {
		r.flushed = now
	}
	if now.Sub(r.flushed) >= flushEvery {
		r.flushed = now
		_ = r.rows.Flush() // see Err
	}
}

// Namespace takes in what is known of a network namespace from now on.
func (r *Recorder) Namespace(n *Namespace) {
	r.spaces[n.NetNS] = *n
	r.rows.Namespace(n)
}

// Descriptors takes in those of a process, as they are at this moment.
func (r *Recorder) Descriptors(d *Descriptors) { r.rows.Descriptors(d) }

// Begin takes in what is known as the recording begins, before the first event.
// A nil snapshot is none.
func (r *Recorder) Begin(info Info, spaces []Namespace, processes []Process, snapshot *census.Census) error {
	r.info = info
	for _, n := range spaces {
		r.spaces[n.NetNS] = n
	}
	r.processes, r.snapshot = processes, snapshot
	if r.Released() {
		r.err = r.preamble(info.Began)
	}
	return r.err
}

// Err returns why nothing more can be written; nil while it can.
func (r *Recorder) Err() error { return r.err }

// Written returns how many bytes were written, in how many files.
func (r *Recorder) Written() (bytes uint64, files int) {
	if r.stream != nil {
		return r.whole + r.stream.written, r.parts
	}
	return r.whole, r.parts
}

// Released reports whether there is a file.
func (r *Recorder) Released() bool { return r.parts > 0 }

// Held returns how much of the time is held in memory.
func (r *Recorder) Held() time.Duration { return r.ring.span() }

// Release writes what was held, and holds nothing from now on.
func (r *Recorder) Release(rule string) error {
	if r.Released() || r.err != nil {
		return r.err
	}
	if err := r.rows.Flush(); err != nil {
		return err
	}
	r.info.SinceFinding = rule
	if r.snapshot != nil && r.snapshot.Time < r.now.Add(-r.options.Hold) {
		r.snapshot = nil // it is of long ago
	}
	if r.err = r.open(); r.err != nil {
		return r.err
	}
	for _, held := range r.ring.take() {
		if r.err = r.store(&held.head, held.payload); r.err != nil {
			return r.err
		}
	}
	return nil
}

// Close writes what is left, and ends the recording in order.
func (r *Recorder) Close() error {
	if r.options.Hold > 0 && !r.Released() {
		return nil // there was nothing to write it for
	}
	err := r.rows.Close()
	if r.file != nil && r.path != "-" {
		if closed := r.file.Close(); err == nil && closed != nil {
			err = fmt.Errorf("close the recording: %w", closed)
		}
	}
	return err
}

// emit takes a block of rows.
func (r *Recorder) emit(h *head, payload []byte) error {
	if r.err != nil {
		return r.err
	}
	if !r.Released() {
		r.ring.add(h, payload, r.now.Add(-r.options.Hold))
		return nil
	}
	r.err = r.store(h, payload)
	if r.err == nil {
		r.good = r.now
		if r.options.Rotate > 0 && r.stream.written >= r.options.Rotate && !h.last {
			r.err = r.rotate()
		}
	}
	return r.err
}

// store writes a block to the file, behind what each file begins with.
func (r *Recorder) store(h *head, payload []byte) error {
	if r.stream.number == 0 {
		if err := r.preamble(h.from); err != nil {
			return err
		}
	}
	return r.write(h, payload)
}

func (r *Recorder) write(h *head, payload []byte) error {
	err := r.stream.write(h, payload)
	if err == nil {
		return nil
	}
	if f, ok := r.file.(*os.File); ok && r.path != "-" {
		_ = f.Truncate(int64(r.stream.written)) // the rest is no block
	}
	until := "nothing was recorded"
	if r.good != 0 {
		clock := r.info.Clock()
		until = "what was recorded until " + clock.Wall(r.good).Local().Format("15:04:05") + " is good"
	}
	return fmt.Errorf("write the recording: %w; %s", err, until)
}

// preamble writes what a file begins with.
func (r *Recorder) preamble(began event.Time) error {
	w, err := newWriter(r.write)
	if err != nil {
		return err
	}
	r.info.Part = r.parts
	if r.parts > 1 || r.info.SinceFinding != "" {
		r.info.Began = began
	}
	if err := w.info(&r.info); err != nil {
		return err
	}
	for _, inode := range slices.Sorted(maps.Keys(r.spaces)) {
		n := r.spaces[inode]
		w.Namespace(&n)
	}
	for i := range r.processes {
		w.Process(&r.processes[i])
	}
	if r.snapshot != nil {
		w.Snapshot(r.snapshot)
		r.snapshot = nil // those of later files are of another time
	}
	return w.Flush()
}

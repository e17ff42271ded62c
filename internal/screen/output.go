package screen

import (
	"bytes"
	"errors"
	"os"
)

// An output is a terminal that may take in nothing any more: one whose user has
// stopped it, or whose line is dead. Once it is left, no write to it waits.
type output struct {
	*os.File // for its size and its mode
	left     chan struct{}
}

var errLeft = errors.New("the terminal takes in nothing")

func newOutput(f *os.File) *output { return &output{File: f, left: make(chan struct{})} }

// Write returns when all is written, or the output is left.
func (o *output) Write(b []byte) (int, error) {
	type written struct {
		n   int
		err error
	}
	select {
	case <-o.left:
		return 0, errLeft
	default:
	}
	done := make(chan written, 1)
	b = bytes.Clone(b) // it may be read after we have returned
	go func() {
		n, err := o.File.Write(b)
		done <- written{n, err}
	}()
	select {
	case w := <-done:
		return w.n, w.err
	case <-o.left:
		return 0, errLeft
	}
}

// leave ends all writes. It may be called once.
func (o *output) leave() { close(o.left) }

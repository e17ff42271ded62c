package screen

import (
	"errors"
	"os"
	"testing"
)

// A write to a terminal that takes in nothing ends when the terminal is left, and
// later ones at once.
func TestOutput_Left(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	o := newOutput(w)
	if n, err := o.Write([]byte("a picture")); n != 9 || err != nil {
		t.Fatalf("it takes in %d bytes, %v", n, err)
	}
	begun, ended := make(chan struct{}), make(chan error)
	go func() {
		close(begun)
		_, err := o.Write(make([]byte, 1<<20)) // more than a pipe holds
		ended <- err
	}()
	<-begun
	o.leave()
	if err := <-ended; !errors.Is(err, errLeft) {
		t.Errorf("the write that waited ends with %v", err)
	}
	if _, err := o.Write([]byte("x")); !errors.Is(err, errLeft) {
		t.Errorf("a later one ends with %v", err)
	}
}

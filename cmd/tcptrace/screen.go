package main

import (
	"bytes"
	"os"
	"sync"

	"golang.org/x/term"
)

// What a terminal is told (ECMA-48, and private modes of xterm and others). A
// frame overwrites the one before it, and is shown as a whole where the
// terminal knows how to, so that nothing flickers.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l" // the alternate one; no cursor; cut long lines
	leaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	beginFrame  = "\x1b[?2026h\x1b[H"
	endFrame    = "\x1b[?2026l"
	clearBelow  = "\x1b[J"
	clearLine   = "\x1b[K"
)

// A fullScreen is a terminal of which we have the whole, until close.
type fullScreen struct {
	out           *os.File
	entered       bool
	restore       func()
	width, height int
	buf           []byte
	once          sync.Once
}

func newFullScreen(out *os.File) *fullScreen { return &fullScreen{out: out} }

// size returns the columns and lines of the terminal, and whether they have
// changed since the last time.
func (s *fullScreen) size() (width, height int, changed bool) {
	width, height, err := term.GetSize(int(s.out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	changed = width != s.width || height != s.height
	s.width, s.height = width, height
	return width, height, changed
}

// show puts the first lines of text on the screen, which it takes over the
// first time.
func (s *fullScreen) show(text []byte, height int) error {
	s.buf = s.buf[:0]
	if !s.entered {
		s.entered = true
		s.restore = quitOnKey(os.Stdin)
		s.buf = append(s.buf, enterScreen...)
	}
	s.buf = append(s.buf, beginFrame...)
	n := 0
	for line := range bytes.Lines(text) {
		if n == height {
			break
		}
		if n > 0 {
			s.buf = append(s.buf, "\r\n"...)
		}
		s.buf = append(s.buf, clearLine...) // behind a full line it would clear its end
		s.buf = append(s.buf, bytes.TrimSuffix(line, []byte("\n"))...)
		n++
	}
	if n < height {
		s.buf = append(s.buf, "\r\n"+clearBelow...)
	}
	s.buf = append(s.buf, endFrame...)
	_, err := s.out.Write(s.buf)
	return err
}

// close gives the terminal back as it was.
func (s *fullScreen) close() {
	if !s.entered {
		return
	}
	s.once.Do(func() {
		_, _ = s.out.WriteString(leaveScreen) // the terminal may be gone
		s.restore()
	})
}

//go:build linux

package endtoend

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// A terminal is one that a program runs on, and all that it has written to it.
type terminal struct {
	t       *testing.T
	master  *os.File
	slave   *os.File
	text    chan string // as it comes; closed with the terminal
	written string
}

func newTerminal(t *testing.T, width, height uint16) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, master: master, slave: slave, text: make(chan string, 1024)}
	term.resize(width, height)
	go func() {
		defer close(term.text)
		buf := make([]byte, 64<<10)
		for {
			n, err := master.Read(buf)
			if err != nil {
				return // EIO: no program has it open any more
			}
			term.text <- string(buf[:n])
		}
	}()
	t.Cleanup(func() {
		slave.Close()
		master.Close()
	})
	return term
}

func (term *terminal) resize(width, height uint16) {
	term.t.Helper()
	size := unix.Winsize{Col: width, Row: height}
	if err := unix.IoctlSetWinsize(int(term.master.Fd()), unix.TIOCSWINSZ, &size); err != nil {
		term.t.Fatal(err)
	}
}

// mode returns how the terminal treats keys.
func (term *terminal) mode() unix.Termios {
	term.t.Helper()
	mode, err := unix.IoctlGetTermios(int(term.slave.Fd()), unix.TCGETS)
	if err != nil {
		term.t.Fatal(err)
	}
	return *mode
}

// patience is how long a program may take to write what a test awaits.
const patience = time.Minute

// await reads until the program has written something of which this is true.
func (term *terminal) await(what string, ok func(written string) bool) {
	term.t.Helper()
	if !term.reads(ok) {
		term.t.Fatalf("no %s, but %q", what, term.written)
	}
}

// reads reads until the program has written something of which this is true,
// and tells whether it has: not where it ends, or nothing more comes.
func (term *terminal) reads(ok func(written string) bool) bool {
	enough := time.After(patience)
	for !ok(term.written) {
		select {
		case text, open := <-term.text:
			if !open {
				return false
			}
			term.written += text
		case <-enough:
			return false
		}
	}
	return true
}

// run starts a program in the foreground of the terminal, and returns when it
// is tracing.
func (term *terminal) run(args ...string) *exec.Cmd {
	term.t.Helper()
	return term.runAs("xterm", args...)
}

// runAs is run, on a terminal of another kind.
func (term *terminal) runAs(kind string, args ...string) *exec.Cmd {
	term.t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Stdin, cmd.Stdout = term.slave, term.slave
	cmd.Env = append(os.Environ(), "TERM="+kind, "LC_ALL=C.UTF-8")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		term.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		term.t.Fatal(err)
	}
	term.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := bufio.NewReader(stderr)
	if first, err := lines.ReadString('\n'); !strings.HasPrefix(first, "tracing") {
		term.t.Fatalf("it says %q, %v", first, err)
	}
	go io.Copy(io.Discard, lines)
	return cmd
}

const (
	entered    = "\x1b[?1049h"
	left       = "\x1b[?1049l"
	frameBegin = "\x1b[?2026h\x1b[H"
	frameEnd   = "\x1b[?2026l"
)

var sgr = regexp.MustCompile("\x1b\\[[0-9;]*m")

// frames returns the whole pictures in what was written, as lines of text.
func frames(written string) (all [][]string) {
	parts := strings.Split(written, frameBegin)
	for _, p := range parts[1:] {
		picture, _, whole := strings.Cut(p, frameEnd)
		if !whole {
			continue
		}
		picture = strings.ReplaceAll(picture, "\r\r\n", "\r\n") // the terminal's own line ends
		picture = strings.TrimSuffix(picture, "\r\n\x1b[J")
		var lines []string
		for _, l := range strings.Split(picture, "\r\n") {
			lines = append(lines, sgr.ReplaceAllString(strings.TrimPrefix(l, "\x1b[K"), ""))
		}
		all = append(all, lines)
	}
	return all
}

// On a terminal the chart is drawn again and again, in the size that the
// terminal has; q and Ctrl-C end that, and leave the terminal as it was, with
// all that was seen below.
func TestTimeline_Terminal(t *testing.T) {
	for name, key := range map[string]string{"q": "q", "Ctrl-C": "\x03"} {
		t.Run(name, func(t *testing.T) {
			term := newTerminal(t, 100, 30)
			before := term.mode()
			var cmd *exec.Cmd
			params := lab.Params{Held: func(*lab.Truth) error {
				term.await("row in CLOSE_WAIT", func(written string) bool {
					all := frames(written)
					return len(all) > 2 && strings.Contains(strings.Join(all[len(all)-1], "\n"), "C═")
				})
				term.resize(80, 24)
				term.await("smaller picture", func(written string) bool {
					all := frames(written)
					return len(all) > 0 && len(all[len(all)-1]) <= 24 && strings.Contains(written, "left out")
				})
				check(t, frames(term.written))
				if mode := term.mode(); mode.Lflag&unix.ICANON != 0 || mode.Lflag&unix.ISIG == 0 {
					t.Error("keys wait for Enter, or Ctrl-C does nothing")
				}
				if _, err := term.master.WriteString(key); err != nil {
					return err
				}
				if err := cmd.Wait(); err != nil {
					t.Errorf("it ends with %v", err)
				}
				return nil
			}}
			play(t, "close-wait", params, func(netns string) { cmd = term.run("timeline", netns) })
			term.await("end", func(written string) bool {
				_, after, ok := strings.Cut(written, left)
				return ok && strings.Contains(after, "46 connections of 1 process, 46 open") && strings.Contains(after, " 23 ")
			})
			if n := strings.Count(term.written, entered); n != 1 {
				t.Errorf("the screen was entered %d times", n)
			}
			if term.mode() != before {
				t.Error("keys are treated in another way than before")
			}
		})
	}
}

// check holds pictures to the size of the terminal, which was 100x30 at first
// and became 80x24.
func check(t *testing.T, all [][]string) {
	t.Helper()
	for _, lines := range all {
		for _, l := range lines {
			if n := utf8.RuneCountInString(l); n > 100 {
				t.Errorf("%d columns: %s", n, l)
			}
		}
		if len(lines) > 30 {
			t.Errorf("%d lines", len(lines))
		}
	}
	last := all[len(all)-1]
	for _, l := range last {
		if n := utf8.RuneCountInString(l); n > 80 {
			t.Errorf("%d columns of 80: %s", n, l)
		}
	}
	if len(last) != 24 || !strings.HasPrefix(last[23], "q quits; ") {
		t.Errorf("the last line is not the footer, but %q of %d", last[len(last)-1], len(last))
	}
}

//go:build linux

package endtoend

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hinshun/vt10x"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// A picture is what a program has drawn on a terminal.
type picture struct {
	*terminal
	screen vt10x.Terminal
	taken  int // bytes of what was written
}

func newPicture(t *testing.T, width, height uint16) *picture {
	return &picture{terminal: newTerminal(t, width, height), screen: vt10x.New(vt10x.WithSize(int(width), int(height)))}
}

// awaits reads until the picture is one of which this is true, and returns it.
func (p *picture) awaits(what string, ok func(text string) bool) string {
	p.t.Helper()
	if !p.reads(func(written string) bool {
		_, _ = p.screen.Write([]byte(written[p.taken:]))
		p.taken = len(written)
		return ok(p.screen.String())
	}) {
		p.t.Fatalf("no %s, but\n%s", what, p.screen.String())
	}
	return p.screen.String()
}

// shows awaits words in the picture.
func (p *picture) shows(words ...string) string {
	p.t.Helper()
	return p.awaits(fmt.Sprintf("%q", words), func(text string) bool {
		for _, w := range words {
			if !strings.Contains(text, w) {
				return false
			}
		}
		return true
	})
}

func (p *picture) press(keys string) {
	p.t.Helper()
	if _, err := p.master.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// kernelStates counts the sockets in /proc/net/tcp of a namespace by the names of
// their states.
func kernelStates(ns *lab.NetNS) (map[string]int, error) {
	names := []string{
		"", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK",
		"LISTEN", "CLOSING",
	}
	all := map[string]int{}
	err := ns.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/tcp")
		for i, line := range bytes.Split(text, []byte("\n")) {
			fields := bytes.Fields(line)
			if i == 0 || len(fields) < 4 {
				continue
			}
			state, err := strconv.ParseUint(string(fields[3]), 16, 8)
			if err != nil {
				return err
			}
			all[names[state]]++
		}
		return err
	})
	return all, err
}

var stripState = regexp.MustCompile(`(LISTEN|SYN_SENT|SYN_RECV|ESTABLISHED|FIN_WAIT1|FIN_WAIT2|CLOSING|TIME_WAIT|CLOSE_WAIT|LAST_ACK) +(\d+) `)

// screenStates reads the strip of states of a picture, what is not zero.
func screenStates(text string) map[string]int {
	all := map[string]int{}
	for _, m := range stripState.FindAllStringSubmatch(text, -1) {
		if n, err := strconv.Atoi(m[2]); err == nil && n > 0 {
			all[m[1]] = n
		}
	}
	return all
}

// The screen counts the sockets that were there before it as the kernel does,
// each finding is three keys away, and q leaves the terminal as it was.
func TestWatch_Screen(t *testing.T) {
	t.Parallel()
	story, err := lab.Lookup("close-wait")
	if err != nil {
		t.Fatal(err)
	}
	params := lab.Params{Held: func(truth *lab.Truth) error {
		flag := fmt.Sprintf("--netns=%d", truth.NetNS[0].Inode)
		want, err := kernelStates(&truth.NetNS[0])
		if err != nil {
			return err
		}
		p := newPicture(t, 100, 30)
		before := p.mode()
		cmd := p.run("watch", flag)
		p.awaits(fmt.Sprintf("picture of %v", want), func(text string) bool { return maps.Equal(screenStates(text), want) })
		if mode := p.mode(); mode.Lflag&unix.ICANON != 0 {
			t.Error("keys wait for Enter")
		}
		p.shows("close-wait-leak", "WARNING")
		p.press("1\r")
		p.shows("23 connections in CLOSE_WAIT", "no sysctl ends CLOSE_WAIT")
		p.press("\r")
		p.shows("whose it was known to be", "CLOSE_WAIT")
		p.press("7")
		p.shows("[7 listeners]", "LISTENER", "BACKLOG")
		p.press("/--port 1\r")
		p.shows("/--port 1", "nobody listens")
		p.press("q")
		if err := cmd.Wait(); err != nil {
			t.Errorf("it ends with %v", err)
		}
		p.await("command line", func(written string) bool {
			_, after, ok := strings.Cut(written, left)
			return ok && strings.Contains(after, "tcptrace watch "+flag+" --port 1 --view listeners")
		})
		if p.mode() != before {
			t.Error("keys are treated in another way than before")
		}
		return nil
	}}
	if _, err := story.Run(t.Context(), params); err != nil { // nothing but what it finds is looked at
		t.Fatal(err)
	}
}

// Where the output is no terminal that can be drawn on, there are lines.
func TestWatch_DumbTerminal(t *testing.T) {
	var term *terminal
	var cmd *exec.Cmd
	params := lab.Params{Held: func(*lab.Truth) error {
		term.await("line", func(written string) bool { return strings.Contains(written, "-> CLOSE_WAIT") })
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			return err
		}
		return cmd.Wait()
	}}
	play(t, "close-wait", params, func(netns string) {
		term = newTerminal(t, 100, 30)
		cmd = term.runAs("dumb", "watch", netns)
	})
	if strings.Contains(term.written, "\x1b") {
		t.Errorf("a terminal that knows nothing is told %q", term.written)
	}
}

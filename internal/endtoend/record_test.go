//go:build linux

package endtoend

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// nobodyID is the user that owns nothing.
const nobodyID = 65534

// replay runs the program without any privilege, on a recording that it is
// handed as its standard input, and returns what it prints.
func replay(t *testing.T, file string, args ...string) (stdout, stderr string) {
	t.Helper()
	recording, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer recording.Close()
	self, err := os.Open(binary) // which lies where only root may look
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	cmd := exec.Command("/proc/self/fd/3", append(args, "--from", "-")...)
	cmd.ExtraFiles = []*os.File{self}
	cmd.Stdin = recording
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobodyID, Gid: nobodyID}}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Errorf("tcptrace %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), errs.String()
}

// What a command prints live, it prints again from the recording that it made
// meanwhile: byte for byte, to anybody.
func TestRecord_ReplayIsWhatWasLive(t *testing.T) {
	dir := t.TempDir()
	commands := [][]string{
		{"watch", "-o", "json"},
		{"conns", "--open"},
		{"timeline", "-o", "json"},
		{"why", "-o", "json"},
		{"why"},
	}
	tracers := make([]*tracer, len(commands))
	files := make([]string, len(commands))
	var netns string
	params := lab.Params{Hold: 7 * time.Second, Over: func(*lab.Truth) error {
		for i, tr := range tracers {
			if status := tr.interrupt(); status != 0 {
				t.Errorf("%v: exit status %d, want 0\n%s", commands[i], status, tr.stderr.String())
			}
		}
		return nil
	}}
	if testing.Short() {
		params.Hold = 0 // too short for a finding
	}
	play(t, "close-wait", params, func(selection string) {
		netns = selection
		for i, command := range commands {
			files[i] = filepath.Join(dir, fmt.Sprint(i))
			tracers[i] = start(t, nil, append(command, netns, "--record", files[i])...)
		}
	})
	for i, command := range commands {
		live := tracers[i].stdout.String()
		if !strings.Contains(live, "CLOSE_WAIT") && !(testing.Short() && command[0] == "why") {
			t.Errorf("%v shows no CLOSE_WAIT", command)
		}
		stdout, stderr := replay(t, files[i], append(command, netns)...)
		if diff := cmp.Diff(live, stdout); diff != "" {
			t.Errorf("%v: the replay is not what was live (-live +replay):\n%.4000s", command, diff)
		}
		if diff := cmp.Diff(tracers[i].stderr.String(), stderr); diff != "" {
			t.Errorf("%v: standard error (-live +replay):\n%.2000s", command, diff)
		}
	}
}

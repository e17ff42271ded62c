//go:build linux

// Package endtoend runs the program itself against real traffic, and reads
// what it prints. It needs root.
package endtoend

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tcptrace/tcptrace/internal/lab"
)

var binary string // of cmd/tcptrace

func TestMain(m *testing.M) {
	lab.Act()
	if job := os.Getenv(helperVar); job != "" {
		help(job)
		return
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tcptrace")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "tcptrace")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/tcptrace")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is built for users; else it cannot drop capabilities
	races := filepath.Join(dir, "race")
	if lab.Raced() {
		build = exec.Command("go", "build", "-race", "-o", binary, "../../cmd/tcptrace")
		os.Setenv("GORACE", "log_path="+races)
	}
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	// Most stories wait for TCP's timers most of the time.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	return max(m.Run(), reported(races))
}

// reported prints what the race detector found in the program, and returns the
// exit status that it deserves.
func reported(races string) (status int) {
	files, err := filepath.Glob(races + ".*")
	if err != nil {
		panic(err)
	}
	for _, file := range files {
		text, _ := os.ReadFile(file)
		fmt.Fprintf(os.Stderr, "--- FAIL: a race in tcptrace\n%s", text)
		status = 1
	}
	return status
}

// needStatic skips a test where the program is built with cgo, as the race
// detector needs it: then it keeps its capabilities, and needs a C library.
func needStatic(t *testing.T) {
	t.Helper()
	if lab.Raced() {
		t.Skip("with the race detector the program is not as it is built for users")
	}
}

// A tracer is a running tcptrace.
type tracer struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdout bytes.Buffer
	stderr bytes.Buffer
	ended  chan struct{} // stderr is at its end
}

// start runs tcptrace and returns when it says that it is tracing. What it
// prints goes to out, or is kept if that is nil.
func start(t testing.TB, out io.Writer, args ...string) *tracer {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this traces real sockets: run it as root")
	}
	tr := &tracer{t: t, cmd: exec.Command(binary, args...), ended: make(chan struct{})}
	tr.cmd.Stdout = out
	if out == nil {
		tr.cmd.Stdout = &tr.stdout
	}
	stderr, err := tr.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		tr.cmd.Process.Kill()
		tr.cmd.Wait()
	})
	lines := bufio.NewReader(stderr)
	first, err := lines.ReadString('\n')
	if lab.Raced() && strings.HasPrefix(first, "tcptrace: keeps all its capabilities: ") { // see needStatic
		first, err = lines.ReadString('\n')
	}
	if err != nil || !strings.HasPrefix(first, "tracing") {
		rest, _ := io.ReadAll(lines)
		t.Fatalf("it does not say that it is tracing, but: %s%s", first, rest)
	}
	go func() {
		defer close(tr.ended)
		tr.stderr.ReadFrom(lines)
	}()
	return tr
}

// interrupt sends SIGINT, waits for the end, and returns the exit status.
func (tr *tracer) interrupt() int {
	tr.t.Helper()
	if err := tr.cmd.Process.Signal(syscall.SIGINT); err != nil {
		tr.t.Fatal(err)
	}
	return tr.wait()
}

func (tr *tracer) wait() int {
	tr.t.Helper()
	<-tr.ended
	err := tr.cmd.Wait()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		tr.t.Fatal(err)
	}
	return 0
}

// A line is what these tests read of a record.
type line struct {
	Type    string
	Conn    string
	Role    string
	Old     string
	New     string
	Open    bool
	End     string
	NetNS   uint32
	Local   string
	Remote  string
	Process struct {
		PID       int
		Comm      string
		Container string
		Runtime   string
		Cgroup    string
		Via       string
	}
	States []struct {
		State string
		NS    int64
	}
}

// records reads what the tracer has printed as JSON lines.
func (tr *tracer) records() (all []line) {
	tr.t.Helper()
	for text := range bytes.Lines(tr.stdout.Bytes()) {
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			tr.t.Fatalf("%v: %s", err, text)
		}
		all = append(all, l)
	}
	return all
}

// recordsOf reads the records of the story alone. A tracer that outlives the
// story's network namespaces may see others, to which the kernel has given the
// same inodes.
func (tr *tracer) recordsOf(truth *lab.Truth) (all []line) {
	tr.t.Helper()
	ours := map[string]bool{}
	for _, c := range truth.Conns {
		ours[c.ClientCookie.String()], ours[c.ServerCookie.String()] = true, true
	}
	for _, l := range truth.Listeners {
		ours[l.Cookie.String()] = true
	}
	for _, l := range tr.records() {
		if ours[l.Conn] {
			all = append(all, l)
		}
	}
	return all
}

// play runs a story of the laboratory. ready is called with the flags that
// select its network namespaces, before its first packet.
func play(t *testing.T, name string, params lab.Params, ready func(netns string)) *lab.Truth {
	t.Helper()
	story, err := lab.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	params.Ready = func(netns []uint32) error {
		ready("--netns=" + strings.Trim(strings.Join(strings.Fields(fmt.Sprint(netns)), ","), "[]"))
		return nil
	}
	var truth *lab.Truth
	lab.Unshielded(t.Logf, func() { truth, err = story.Run(t.Context(), params) })
	if err != nil {
		t.Fatal(err)
	}
	return truth
}

// playTraced runs a story beside tcptrace, which ends before the story's network
// namespaces do: another may get the inode of one.
func playTraced(t *testing.T, name string, params lab.Params, args ...string) (*lab.Truth, *tracer) {
	t.Helper()
	var tr *tracer
	params.Held = func(*lab.Truth) error {
		if status := tr.interrupt(); status != 0 {
			t.Errorf("exit status %d, want 0", status)
		}
		return nil
	}
	truth := play(t, name, params, func(netns string) { tr = start(t, nil, append(args, netns)...) })
	return truth, tr
}

//go:build linux

package endtoend

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

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
	t.Parallel()
	commands := [][]string{
		{"watch", "-o", "json"},
		{"conns", "--open"},
		{"conns", "--open", "-o", "json", "--audit"},
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
	play(t, "close-wait", params, func(selection string) { // again, where the machine saw too little
		netns = selection
		dir := t.TempDir()
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
		if diff := cmp.Diff(withoutHost(tracers[i].stderr.String()), stderr); diff != "" {
			t.Errorf("%v: standard error (-live +replay):\n%.2000s", command, diff)
		}
		if slices.Contains(command, "--audit") {
			exportsAsLive(t, files[i], live)
		}
	}
}

// exportsAsLive checks that a recording is exported as the records of connections
// that "tcptrace conns --open -o json --audit" printed live, and as a table of as many
// rows.
func exportsAsLive(t *testing.T, file, live string) {
	t.Helper()
	connections, audit, _ := strings.Cut(live, `{"type":"audit",`)
	if connections == "" || audit == "" {
		t.Errorf("live there are no connections, or no audit: %.400s", live)
	}
	out, err := exec.Command(binary, "export", file, "--as", "json", "--to", "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(connections, string(out)); diff != "" {
		t.Errorf("what is exported is not what was live (-live +exported):\n%.4000s", diff)
	}
	said, err := exec.Command(binary, "export", file, "--to", file+".parquet").CombinedOutput()
	if want := fmt.Sprintf("%d connections\n", strings.Count(connections, "\n")); err != nil || !strings.HasSuffix(string(said), want) {
		t.Errorf("error %v; it says %s, want it to end with %s", err, said, want)
	}
}

// Two recordings of a service, before and after it began to close with data unread:
// the difference is that, and nothing else.
func TestDiff_Live(t *testing.T) {
	const n = 47
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "before"), filepath.Join(dir, "after")}
	for i, story := range []string{"client-close", "reset-unread"} {
		playTraced(t, story, lab.Params{N: n}, "record", files[i], "--force")
	}
	out, err := exec.Command(binary, "diff", files[0], files[1], "-o", "json", "--all").Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][2]int{}
	for text := range bytes.Lines(out) {
		var d struct {
			Figure        string
			Before, After *int
		}
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		if d.Before != nil { // it is no time
			got[d.Figure] = [2]int{*d.Before, *d.After}
		}
	}
	want := map[string][2]int{
		"connections": {2 * n, 2 * n}, "ended by fin": {n, 0}, "ended by reset_sent": {0, n}, "ended by reset_received": {0, n},
		"reset: reset-unread-data": {0, 2 * n}, "finding reset-unread-data": {0, n}, "finding reset-by-peer": {0, n},
		"been in SYN_SENT": {n, n}, "been in SYN_RECV": {n, n}, "been in ESTABLISHED": {2 * n, 2 * n},
		"been in FIN_WAIT1": {n, 0}, "been in FIN_WAIT2": {n, 0}, "been in TIME_WAIT": {n, 0},
		"been in CLOSE_WAIT": {n, 0}, "been in LAST_ACK": {n, 0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("before and after (-want +got):\n%s", diff)
	}
}

// withoutHost leaves out the lines that a live command says of its host.
func withoutHost(stderr string) string {
	var kept []string
	for line := range strings.Lines(stderr) {
		if !strings.HasSuffix(line, "\"tcptrace doctor\" says why\n") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// Killed amid many connections, a recorder leaves a recording that is whole but
// for the last second or so, and that says where it ends.
func TestRecord_Killed(t *testing.T) {
	t.Parallel()
	var path string
	var recorder, witness *tracer
	var killed chan struct{}
	params := lab.Params{Rate: 2000, Duration: 5 * time.Second, Over: func(*lab.Truth) error {
		<-killed
		if status := witness.interrupt(); status != 0 {
			t.Errorf("the witness: exit status %d, want 0", status)
		}
		return nil
	}}
	play(t, "churn", params, func(netns string) {
		path = filepath.Join(t.TempDir(), "killed")
		recorder = start(t, nil, "record", netns, path)
		witness = start(t, nil, "conns", "-o", "json", "--state", "LAST_ACK", netns)
		process, done := recorder.cmd.Process, make(chan struct{})
		killed = done
		time.AfterFunc(4*time.Second, func() {
			process.Kill()
			close(done)
		})
	})
	<-recorder.ended
	recorder.cmd.Wait()

	stdout, stderr := replay(t, path, "conns", "-o", "json", "--state", "LAST_ACK")
	if !strings.Contains(stderr, "without being finished: who recorded was killed") {
		t.Errorf("it says of its end: %q", stderr)
	}
	replayed := ends(t, stdout)
	if len(replayed) < 100 {
		t.Fatalf("%d connections are in the recording", len(replayed))
	}
	last := slices.Max(slices.Collect(maps.Values(replayed)))
	// An end is told a moment later, when what might explain it has come.
	before, missing := 0, 0
	for conn, at := range ends(t, witness.stdout.String()) {
		if at > last-int64(time.Second) {
			continue
		}
		before++
		if _, ok := replayed[conn]; !ok {
			missing++
		}
	}
	if before == 0 || missing > 0 {
		t.Errorf("of %d connections that ended a second before the recording does, %d are missing", before, missing)
	}
}

// ends returns when each connection ended, by its cookie.
func ends(t *testing.T, text string) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	for line := range strings.Lines(text) {
		var l struct {
			Type   string
			Conn   string
			MonoNS int64 `json:"mono_ns"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if l.Type == "connection" {
			all[l.Conn] = l.MonoNS
		}
	}
	return all
}

// When the disk is full, the recorder says so and ends; what it has written is
// good.
func TestRecord_DiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=192k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	path := filepath.Join(dir, "full")
	var recorder *tracer
	play(t, "churn", lab.Params{Rate: 1000, Duration: 8 * time.Second}, func(netns string) {
		recorder = start(t, nil, "record", "--force", netns, path)
	})
	if status := recorder.wait(); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	if got := withoutHost(recorder.stderr.String()); !strings.Contains(got, "no space left on device; what was recorded until ") || strings.Count(got, "\n") != 1 {
		t.Errorf("it says: %q", got)
	}
	stdout, stderr := replay(t, path, "conns", "-o", "json", "--state", "LAST_ACK")
	if n := strings.Count(stdout, "\n"); n < 10 {
		t.Errorf("%d connections are readable; it says: %s", n, stderr)
	}
}

// --since-finding writes nothing until there is a finding, and then what led to
// it.
func TestRecord_SinceFinding(t *testing.T) {
	if testing.Short() {
		t.Skip("a leak shows after 5 s")
	}
	t.Parallel()
	var healthy, leak string
	for _, test := range []struct {
		story string
		path  *string
		hold  time.Duration
	}{{"client-close", &healthy, 0}, {"close-wait", &leak, 8 * time.Second}} {
		var recorder *tracer
		params := lab.Params{Hold: test.hold, Over: func(*lab.Truth) error {
			if status := recorder.interrupt(); status != 0 {
				t.Errorf("%s: exit status %d, want 0", test.story, status)
			}
			return nil
		}}
		play(t, test.story, params, func(netns string) {
			*test.path = filepath.Join(t.TempDir(), "found")
			recorder = start(t, nil, "record", "--since-finding", netns, *test.path)
		})
		want := "nothing was written: there was no finding"
		if test.hold > 0 {
			want = "tcptrace: close-wait-leak: writing " + *test.path
		}
		if got := recorder.stderr.String(); !strings.Contains(got, want) {
			t.Errorf("%s: it says %q, want %q", test.story, got, want)
		}
	}
	if _, err := os.Stat(healthy); !os.IsNotExist(err) {
		t.Errorf("there is a recording of what is well: %v", err)
	}
	stdout, _ := replay(t, leak, "conns", "-o", "json", "--open")
	if got := strings.Count(stdout, `"complete":true`); got != 2*n {
		t.Errorf("%d connections are known from their begin, want %d: both ends", got, 2*n)
	}
}

//go:build linux

package endtoend

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/proc"
)

// talked is how many connections a conversation has, and talkStatus what
// it ends with.
const (
	talked     = 13
	talkStatus = 7
)

// talk listens, has a child of its own connect, lets its own ends lie in
// CLOSE_WAIT for a while, and ends with a status of its own. It says to its
// output who the child is.
func talk(address, hold string) {
	lasts, err := time.ParseDuration(hold)
	try(err)
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	try(err)
	dialer := exec.Command("/proc/self/exe")
	dialer.Args = []string{"dialer"}
	dialer.Env = append(os.Environ(), helperVar+"=dial "+l.Addr().String())
	dialer.Stderr = os.Stderr
	ends, err := dialer.StdinPipe()
	try(err)
	try(dialer.Start())
	var conns []net.Conn
	for range talked {
		c, err := l.Accept()
		try(err)
		_, err = io.Copy(io.Discard, c) // until its end
		try(err)
		conns = append(conns, c)
	}
	time.Sleep(lasts)
	for _, c := range conns {
		try(c.Close())
	}
	try(ends.Close())
	try(dialer.Wait())
	fmt.Println("talked with", dialer.Process.Pid)
	os.Exit(talkStatus)
}

// dialFor is talk's child: it makes connections, closes them, and stays until
// its input ends.
func dialFor(address string) {
	for range talked {
		c, err := net.Dial("tcp", address)
		try(err)
		_, err = c.Write([]byte("hello"))
		try(err)
		try(c.Close())
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// chatter makes connections of nobody's concern until it is told to stop.
func chatter(t *testing.T, stop <-chan struct{}) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Error(err)
		return
	}
	defer l.Close()
	for {
		select {
		case <-stop:
			return
		default:
		}
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		if s, err := l.Accept(); err == nil {
			s.Close()
		}
		c.Close()
		time.Sleep(time.Millisecond)
	}
}

// asserted runs a conversation under "tcptrace assert", while others talk too.
func asserted(t *testing.T, address, hold string, prefix []string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this traces real sockets: run it as root")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	lab.Unshielded(t.Logf, func() {
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			chatter(t, stop)
		}()
		line := append(append(append(prefix, binary, "assert"), args...), "--", self)
		cmd := exec.Command(line[0], line[1:]...)
		cmd.Env = append(os.Environ(), helperVar+"=talk "+address+" "+hold)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		close(stop)
		<-stopped
		status = 0
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			status = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		stdout, stderr = out.String(), errs.String()
	})
	return stdout, stderr, status
}

// What a command and its child do is judged, and nothing of what others do at
// the same time.
func TestAssert_Holds(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "::1"} {
		stdout, stderr, status := asserted(t, address, "0s", nil,
			"connections = 26", "clients = 13", "servers = 13", "CLOSE_WAIT = 13", "no resets", "no failed_connects",
			"open = 0", "no CLOSE_WAIT > 1h", "no findings")
		if status != talkStatus {
			t.Errorf("%s: exit status %d, want the command's own, %d\n%s", address, status, talkStatus, stderr)
		}
		if !strings.HasPrefix(stdout, "talked with ") || strings.Count(stdout, "\n") != 1 {
			t.Errorf("%s: the command's output is not as it was: %q", address, stdout)
		}
		if n := strings.Count(stderr, "\nholds "); n != 9 || !strings.HasPrefix(stderr, "tracing ") {
			t.Errorf("%s: %d assertions hold, want 9:\n%s", address, n, stderr)
		}
	}
}

// A verdict is what these tests read of a record.
type verdict struct {
	Type      string
	Assertion string
	Outcome   string
	Number    int
	NS        int64
	Broken    int
	Evidence  []struct {
		Family  string
		State   string
		Role    string
		NS      int64
		Count   int
		Process struct {
			PID  int
			Comm string
		}
	}
}

// What fails names the connections, the process and the time; the command's
// output is then with the messages.
func TestAssert_Fails(t *testing.T) {
	for address, family := range map[string]string{"127.0.0.1": "ipv4", "::1": "ipv6"} {
		stdout, stderr, status := asserted(t, address, "200ms", nil, "-o", "json", "no CLOSE_WAIT > 150ms", "clients <= 12", "no resets")
		if status != 1 {
			t.Errorf("%s: exit status %d, want 1", address, status)
		}
		_, said, ok := strings.Cut(stderr, "talked with ")
		dialer, err := strconv.Atoi(strings.Fields(said + " -")[0])
		if !ok || err != nil {
			t.Fatalf("%s: the command's output is missing: %s", address, stderr)
		}
		var all []verdict
		for text := range strings.Lines(stdout) {
			var v verdict
			if err := json.Unmarshal([]byte(text), &v); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			all = append(all, v)
		}
		if len(all) != 3 || all[0].Outcome != "fails" || all[1].Outcome != "fails" || all[2].Outcome != "holds" {
			t.Fatalf("%s: %s", address, stdout)
		}
		if v := all[0]; v.Number != talked || v.Broken != talked || v.NS < int64(200*time.Millisecond) || len(v.Evidence) != 5 {
			t.Errorf("%s: %+v", address, v)
		}
		for _, e := range all[0].Evidence {
			if e.State != "CLOSE_WAIT" || e.Role != "server" || e.Family != family || e.NS < int64(200*time.Millisecond) || e.Process.PID == dialer {
				t.Errorf("%s: the evidence is %+v", address, e)
			}
		}
		for _, e := range all[1].Evidence {
			if e.Role != "client" || e.Process.PID != dialer || e.Count != 1 {
				t.Errorf("%s: the evidence is %+v, want the client %d", address, e, dialer)
			}
		}
	}
}

// Where no cgroup can be made, the child is found by its parent.
func TestAssert_WithoutCgroup(t *testing.T) {
	mount, err := proc.CgroupMount()
	if err != nil {
		t.Skip(err)
	}
	readOnly := []string{lookup(t, "unshare"), "-m", "sh", "-c", "mount -o remount,bind,ro " + mount + ` && exec "$@"`, "sh"}
	_, stderr, status := asserted(t, "127.0.0.1", "1s", readOnly, "connections = 26", "clients = 13", "no CLOSE_WAIT < 1s")
	if status != talkStatus || strings.Count(stderr, "\nholds ") != 3 || !strings.Contains(stderr, "no cgroup of its own") {
		t.Errorf("exit status %d, want %d:\n%s", status, talkStatus, stderr)
	}
}

// A command that cannot be run ends with the status that shells have for it, and
// one that a signal ended with the signal's.
func TestAssert_Statuses(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this traces real sockets: run it as root")
	}
	for _, story := range []struct {
		want    int
		command []string
	}{
		{126, []string{os.TempDir()}},
		{137, []string{"sh", "-c", "kill -KILL $$"}},
	} {
		cmd := exec.Command(binary, append([]string{"assert", "no resets", "--"}, story.command...)...)
		out, err := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != story.want {
			t.Errorf("%q: exit status %d, want %d: %v\n%s", story.command, got, story.want, err, out)
		}
	}
}

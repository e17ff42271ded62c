//go:build linux

package endtoend

import (
	"bufio"
	"net"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/lab"
)

const n = lab.DefaultN

// Every transition of either end is a record, once; and every connection,
// under the cookie that the kernel gave it.
func TestWatch_JSON(t *testing.T) {
	var tr *tracer
	truth := play(t, "client-close", lab.Params{}, func(netns string) {
		tr = start(t, nil, "watch", "-o", "json", netns)
	})
	if status := tr.interrupt(); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	story, _ := lab.Lookup("client-close")
	want := map[string]int{"connection": 2 * n}
	for _, tt := range story.Transitions() {
		want[tt.String()] = n
	}
	want["CLOSE->LISTEN"], want["LISTEN->CLOSE"] = 1, 1

	got := map[string]int{}
	cookies := map[string]bool{}
	for _, l := range tr.recordsOf(truth) {
		switch l.Type {
		case "state":
			got[l.Old+"->"+l.New]++
		case "connection":
			cookies[l.Conn] = true
			got[l.Type]++
		default:
			got[l.Type]++
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	for _, c := range truth.Conns {
		for _, cookie := range []lab.Cookie{c.ClientCookie, c.ServerCookie} {
			if hex := strconv.FormatUint(uint64(cookie), 16); !cookies[hex] {
				t.Errorf("no connection record has the cookie %s", hex)
			}
		}
	}
}

// An interrupt in the middle ends the run well, and says what is open.
func TestWatch_InterruptedJSON(t *testing.T) {
	var tr *tracer
	params := lab.Params{Held: func(*lab.Truth) error {
		if status := tr.interrupt(); status != 0 {
			t.Errorf("exit status %d, want 0", status)
		}
		return nil
	}}
	play(t, "half-close", params, func(netns string) { tr = start(t, nil, "watch", "-o", "json", netns) })
	open := map[string]int{}
	for _, l := range tr.records() {
		if l.Type == "connection" && l.Open {
			open[l.Role+" "+l.States[len(l.States)-1].State]++
		}
	}
	if diff := cmp.Diff(map[string]int{"client FIN_WAIT2": n, "server CLOSE_WAIT": n}, open); diff != "" {
		t.Errorf("open (-want +got):\n%s", diff)
	}
}

func TestWatch_InterruptedText(t *testing.T) {
	var tr *tracer
	params := lab.Params{Held: func(*lab.Truth) error {
		if status := tr.interrupt(); status != 0 {
			t.Errorf("exit status %d, want 0", status)
		}
		return nil
	}}
	play(t, "half-close", params, func(netns string) { tr = start(t, nil, "watch", "--plain", netns) })
	if want := "46 still open: 23 FIN_WAIT2, 23 CLOSE_WAIT\n"; !strings.HasPrefix(withoutHost(tr.stderr.String()), want) {
		t.Errorf("standard error %q, want it to begin with %q", tr.stderr.String(), want)
	}
	lines := strings.Split(strings.TrimSuffix(tr.stdout.String(), "\n"), "\n")
	// The listener's one, the client's four and the server's three each.
	if want := 1 + 1 + n*(4+3); len(lines) != want {
		t.Errorf("%d lines, want %d with the header:\n%s", len(lines), want, tr.stdout.String())
	}
	layout := regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d\d\d (\S+/\d+ +|- +)(client|server) \S+ +\S+ +[A-Z_0-9]+ -> [A-Z_0-9]+ +\S+$`)
	for _, l := range lines[1:] {
		if !layout.MatchString(l) || len(l) > 120 {
			t.Errorf("%d columns: %s", len(l), l)
		}
	}
}

func TestWatch_Count(t *testing.T) {
	var tr *tracer
	play(t, "client-close", lab.Params{N: 2}, func(netns string) {
		tr = start(t, nil, "watch", "-o", "json", "--count", "3", netns)
	})
	if status := tr.wait(); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	if got := len(tr.records()); got != 3 {
		t.Errorf("%d records, want 3", got)
	}
}

// "tcptrace watch | head -3": the reader goes away, and we end, well and
// quietly, though there may be nothing to write for hours.
func TestWatch_ReaderGoesAway(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var tr *tracer
	play(t, "client-close", lab.Params{N: 2}, func(netns string) {
		tr = start(t, w, "watch", "-o", "json", netns)
		w.Close()
		go func() { // as head does
			lines := bufio.NewReader(r)
			for range 3 {
				lines.ReadString('\n')
			}
			r.Close()
		}()
	})
	if status := tr.wait(); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	if got := withoutHost(tr.stderr.String()); got != "" {
		t.Errorf("it says %q, want nothing", got)
	}
}

func TestWatch_ReaderGoesAwayWhileIdle(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	tr := start(t, w, "watch", "-o", "json", "--netns=1") // there is no such namespace
	w.Close()
	r.Close()
	if status := tr.wait(); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
}

// A process may have a name that is meant to disturb the terminal of whoever
// looks at it.
func TestWatch_HostileName(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	text := start(t, nil, "watch", "--plain", "--color", "always", "--rport", port)
	records := start(t, nil, "watch", "-o", "json", "--rport", port)

	const hostile = "\x1b[31mx\n\"\xff"
	connectAs(t, hostile, l.Addr().String())

	if status := text.interrupt(); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	if status := records.interrupt(); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	sgr := regexp.MustCompile("\x1b\\[[0-9]+m")
	plain := sgr.ReplaceAllString(text.stdout.String(), "")
	if strings.ContainsRune(plain, '\x1b') || !utf8.ValidString(plain) {
		t.Errorf("what the terminal would obey: %q", plain)
	}
	if want := `\x1b[31mx`; !strings.Contains(plain, want) {
		t.Errorf("%q is not shown: %q", want, plain)
	}
	want := "\x1b[31mx\n\"\ufffd"
	found := false
	for _, r := range records.records() {
		found = found || r.Process.Comm == want && r.Process.PID == os.Getpid()
	}
	if !found {
		t.Errorf("no record has the process %q: %s", want, records.stdout.String())
	}
}

// connectAs connects and closes as a thread with a name of its own.
func connectAs(t *testing.T, name, addr string) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its name
		buf, err := unix.ByteSliceFromString(name)
		if err == nil {
			err = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&buf[0])), 0, 0, 0)
		}
		if err == nil {
			var c net.Conn
			if c, err = net.Dial("tcp4", addr); err == nil {
				err = c.Close()
			}
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

//go:build linux

package endtoend

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var wanted = flag.Int("sockets", 2003, "how many sockets TestSnapshot_BesideSS makes, at least")

// A socketLine is what these tests read of a socket record.
type socketLine struct {
	Type       string
	Conn       string
	NetNS      uint64
	State      string
	Role       string
	Local      string
	Remote     string
	RecvQ      *int `json:"recv_q"`
	SendQ      *int `json:"send_q"`
	Backlog    *int
	Timer      string
	Left       int64 `json:"timer_left_ns"`
	Orphan     bool
	Unaccepted bool
	Process    struct {
		PID       int
		Comm      string
		Via       string
		FD        *int
		Container string
		Runtime   string
		Cgroup    string
		Exe       string
		Cmdline   string
	}
}

// tcptrace runs the program to its end, which must be a good one.
func tcptrace(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(binary, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%q: %v: %s", args, err, stderr.Bytes())
	}
	return out
}

func socketLines(t *testing.T, text []byte) (all []socketLine) {
	t.Helper()
	for line := range bytes.Lines(text) {
		var s socketLine
		if err := json.Unmarshal(line, &s); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if s.Type != "socket" {
			t.Errorf("a record of type %q: %s", s.Type, line)
		}
		all = append(all, s)
	}
	return all
}

func figure(n *int) string {
	if n == nil {
		return "-"
	}
	return strconv.Itoa(*n)
}

// Every socket of a process in a namespace that nobody named is found, in its
// state, with what it holds and whose it is.
func TestSnapshot_EachState(t *testing.T) {
	h := startHelper(t, "each holder", nil)
	var got []string
	for _, s := range socketLines(t, tcptrace(t, "snapshot", "-o", "json", "--netns", h.netns)) {
		owner := "-"
		if s.Process.PID != 0 {
			owner = s.Process.Comm + " " + s.Process.Via
		}
		if s.Process.PID != 0 && s.Process.PID != h.pid {
			t.Errorf("%s of process %d, want %d", s.State, s.Process.PID, h.pid)
		}
		if s.Process.PID != 0 && s.Process.Cgroup == "" {
			t.Errorf("%s: no cgroup", s.State)
		}
		if limit := int64(62 * time.Second); s.Timer == "timewait" && (s.Left <= 0 || s.Left > limit) {
			t.Errorf("%s: %d ns left", s.State, s.Left)
		}
		got = append(got, fmt.Sprintf("%s %s recv_q=%s send_q=%s backlog=%s orphan=%v unaccepted=%v timer=%s %s",
			s.State, s.Role, figure(s.RecvQ), figure(s.SendQ), figure(s.Backlog), s.Orphan, s.Unaccepted, s.Timer, owner))
	}
	slices.Sort(got)
	want := []string{
		"CLOSE_WAIT server recv_q=1 send_q=0 backlog=- orphan=false unaccepted=false timer= holder snapshot",
		"ESTABLISHED client recv_q=0 send_q=0 backlog=- orphan=false unaccepted=false timer= holder snapshot",
		"ESTABLISHED client recv_q=0 send_q=0 backlog=- orphan=false unaccepted=false timer= holder snapshot",
		"ESTABLISHED server recv_q=0 send_q=0 backlog=- orphan=false unaccepted=true timer= holder listen",
		"ESTABLISHED server recv_q=5 send_q=0 backlog=- orphan=false unaccepted=false timer= holder snapshot",
		"FIN_WAIT2 client recv_q=- send_q=- backlog=- orphan=true unaccepted=false timer=timewait -",
		"LISTEN server recv_q=1 send_q=- backlog=7 orphan=false unaccepted=false timer= holder snapshot",
		"TIME_WAIT client recv_q=- send_q=- backlog=- orphan=false unaccepted=false timer=timewait -",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Without --netns, the sockets of every namespace are there.
func TestSnapshot_AllNamespaces(t *testing.T) {
	first, second := startHelper(t, "each first", nil), startHelper(t, "each second", nil)
	got := map[string]int{}
	for _, s := range socketLines(t, tcptrace(t, "snapshot", "-o", "json", "--port", "8080")) {
		if ns := strconv.FormatUint(s.NetNS, 10); ns == first.netns || ns == second.netns {
			got[ns]++
		}
	}
	if diff := cmp.Diff(map[string]int{first.netns: 8, second.netns: 8}, got); diff != "" {
		t.Errorf("sockets in each namespace (-want +got):\n%s", diff)
	}
}

func TestSnapshot_Text(t *testing.T) {
	h := startHelper(t, "each holder", nil)
	lines := strings.Split(strings.TrimSuffix(string(tcptrace(t, "snapshot", "--netns", h.netns)), "\n"), "\n")
	who := `holder/` + strconv.Itoa(h.pid)
	end := `127\.0\.0\.1:\d+ +`
	want := []string{
		`^STATE +PROCESS +FD +RECV +SEND +TIMER +LOCAL +REMOTE$`,
		`^LISTEN +` + who + ` +\d+ +1 +7 - +127\.0\.0\.1:8080 +<- \*$`,
		`^ESTABLISHED ` + who + ` +\d+ +[05] +0 - +` + end + `.. ` + end[:len(end)-2] + `$`,
		`^ESTABLISHED ` + who + ` +[-\d]+ +[05] +0 - +` + end + `.. ` + end[:len(end)-2] + `$`,
		`^ESTABLISHED ` + who + ` +[-\d]+ +[05] +0 - +` + end + `.. ` + end[:len(end)-2] + `$`,
		`^ESTABLISHED ` + who + ` +\d+ +[05] +0 - +` + end + `.. ` + end[:len(end)-2] + `$`,
		`^CLOSE_WAIT +` + who + ` +\d+ +1 +0 - +` + end + `<- ` + end[:len(end)-2] + `$`,
		`^FIN_WAIT2 +\(orphan\) +- +- +- tw [\dms.]+ +` + end + `-> ` + end[:len(end)-2] + `$`,
		`^TIME_WAIT +- +- +- +- tw [\dms.]+ +` + end + `-> ` + end[:len(end)-2] + `$`,
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), strings.Join(lines, "\n"))
	}
	for i, pattern := range want {
		if !regexp.MustCompile(pattern).MatchString(lines[i]) {
			t.Errorf("%q does not match %s", lines[i], pattern)
		}
	}
}

func TestSnapshot_Summary(t *testing.T) {
	h := startHelper(t, "each holder", nil)
	got := strings.Fields(string(tcptrace(t, "snapshot", "--summary", "--netns", h.netns)))
	want := strings.Fields(`PROCESS TOTAL LISTEN ESTABLISHED FIN_WAIT2 TIME_WAIT CLOSE_WAIT
		holder/` + strconv.Itoa(h.pid) + ` 6 1 4 - - 1
		(orphans) 1 - - 1 - -
		(no process) 1 - - - 1 -
		total 8 1 4 1 1 1`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSnapshot_ByProcess(t *testing.T) {
	ours, another := startHelper(t, "each ours", nil), startHelper(t, "each another", nil)
	for _, test := range []struct {
		args []string
		want int
	}{
		{[]string{"--pid", strconv.Itoa(ours.pid)}, 6},
		{[]string{"--comm", "ours,another", "--netns", ours.netns + "," + another.netns}, 12},
		{[]string{"--comm", "ours", "--state", "close_wait,listen", "--netns", ours.netns}, 2},
		{[]string{"--comm", "ours", "--netns", another.netns}, 0},
		{[]string{"--cgroup", "/", "--netns", ours.netns}, 6},
		{[]string{"--container", "0123456789abcdef", "--netns", ours.netns}, 0},
		{[]string{"-6", "--netns", ours.netns}, 0},
		{[]string{"--lport", "8080", "--netns", ours.netns}, 4},
	} {
		args := append([]string{"snapshot", "-o", "json"}, test.args...)
		if got := len(socketLines(t, tcptrace(t, args...))); got != test.want {
			t.Errorf("%q: %d sockets, want %d", test.args, got, test.want)
		}
	}
}

// Whatever a process calls itself and is given as arguments, no byte of it
// reaches the terminal, and JSON stays JSON.
func TestSnapshot_Hostile(t *testing.T) {
	const name = "\x1b[31mx\n\u202e\xff"
	evil := strings.Repeat("\u05e9\u05dc\u05d5\u05dd\x1b]0;x\a\n\u202e\u65e5\xff", 300) // more than 4 KiB
	h := startHelper(t, "each "+name, nil, "\x1b[2J", evil)
	text := tcptrace(t, "snapshot", "--cmdline", "--netns", h.netns)
	if n := bytes.Count(text, []byte("\n")); n != 9 {
		t.Errorf("%d lines, want 9:\n%s", n, text)
	}
	for _, r := range string(text) {
		if r != '\n' && (r < ' ' || r >= 0x7f) {
			t.Errorf("the text holds %U", r)
		}
	}
	for line := range bytes.Lines(text) {
		if len(line) > 121 {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
	if !bytes.Contains(text, []byte(` \x1b[31mx`)) || !bytes.Contains(text, []byte(` helper \x1b[2J `)) {
		t.Errorf("name or command line is not shown:\n%s", text)
	}
	for _, s := range socketLines(t, tcptrace(t, "snapshot", "--cmdline", "-o", "json", "--pid", strconv.Itoa(h.pid))) {
		if s.Process.Comm != "\x1b[31mx\n\u202e\ufffd" {
			t.Errorf("name %q", s.Process.Comm)
		}
		want := []rune(strings.ToValidUTF8("helper \x1b[2J "+evil, "\ufffd"))[:2000]
		if got := []rune(s.Process.Cmdline); len(got) < 2000 || string(got[:2000]) != string(want) {
			t.Errorf("command line %q", s.Process.Cmdline)
		}
		if s.Process.Exe == "" {
			t.Error("no program")
		}
	}
	if bytes.Contains(tcptrace(t, "snapshot", "-o", "json", "--netns", h.netns), []byte(`"cmdline"`)) {
		t.Error("a command line, which may hold secrets, without --cmdline")
	}
}

// The reader may go away.
func TestSnapshot_Head(t *testing.T) {
	h := startHelper(t, "many 127.0.1.1 2000", nil)
	for _, format := range []string{"json", "text"} {
		cmd := exec.Command("bash", "-c", `set -o pipefail; "$0" snapshot -o "$1" --netns "$2" | head -3`, binary, format, h.netns)
		out, err := cmd.CombinedOutput()
		if err != nil || bytes.Count(out, []byte("\n")) != 3 {
			t.Errorf("-o %s: %v:\n%s", format, err, out)
		}
	}
}

// The same sockets, and the same owners, as "ss -tanpe" says.
func TestSnapshot_BesideSS(t *testing.T) {
	ss := lookup(t, "ss")
	const most = 8334 // connections of one process, with a limit of 20,000 descriptors
	var first *helper
	made := 0
	for i := 1; made < *wanted; i++ {
		count := min(most, (*wanted-made+1)/2)
		h := startHelper(t, fmt.Sprintf("many 127.0.1.%d %d", i, count), first)
		if first == nil {
			first = h
		}
		made += 2*count + 1
	}
	ours := map[string]string{}
	for _, s := range socketLines(t, tcptrace(t, "snapshot", "-o", "json", "--netns", first.netns)) {
		ours[s.Conn] = fmt.Sprintf("pid=%d,fd=%s", s.Process.PID, figure(s.Process.FD))
	}
	out, err := exec.Command("nsenter", "-t", strconv.Itoa(first.pid), "-n", ss, "-tanpeH").Output()
	if err != nil {
		t.Fatal(err)
	}
	theirs := map[string]string{}
	record := regexp.MustCompile(`users:\(\("[^"]*",(pid=\d+,fd=\d+)\)\).* sk:([0-9a-f]+)`)
	for line := range bytes.Lines(out) {
		m := record.FindSubmatch(line)
		if m == nil {
			t.Fatalf("ss says %q", line)
		}
		theirs[string(m[2])] = string(m[1])
	}
	if len(ours) != made || len(theirs) != made {
		t.Fatalf("%d sockets, ss says %d, want %d", len(ours), len(theirs), made)
	}
	wrong := 0
	for cookie, owner := range theirs {
		if ours[cookie] != owner {
			wrong++
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d sockets have another owner than ss says", wrong, made)
	}
}

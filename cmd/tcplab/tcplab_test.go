//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tcptrace/tcptrace/internal/lab"
)

func TestMain(m *testing.M) {
	lab.Act()
	os.Exit(m.Run())
}

// tcplab runs a command line and returns what it printed.
func tcplab(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetIn(strings.NewReader(""))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// needNamespaces skips a test only where it is sure that this process may not
// make network namespaces.
func needNamespaces(t *testing.T) {
	t.Helper()
	if err := lab.Allowed(); errors.Is(err, lab.ErrNotAllowed) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
}

func TestList_NamesEveryStory(t *testing.T) {
	out, err := tcplab(t, "list", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, s := range lab.Stories() {
		want = append(want, s.Name)
	}
	for line := range strings.Lines(out) {
		var r storyRecord
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if r.Doc == "" || len(r.Transitions) == 0 || len(r.Networks) == 0 {
			t.Errorf("%s: something is missing in %s", r.Story, line)
		}
		got = append(got, r.Story)
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
}

func TestList_Text(t *testing.T) {
	out, err := tcplab(t, "list")
	if err != nil {
		t.Fatal(err)
	}
	const want = `refused: the client connects to a port where nobody listens
    client  CLOSE SYN_SENT CLOSE
    finding connect-refused
`
	if !strings.Contains(out, want) {
		t.Errorf("no\n%s\nin\n%s", want, out)
	}
}

func TestUsageErrors(t *testing.T) {
	for _, tc := range []struct{ line, want string }{
		{"frobnicate", `"frobnicate" is not a command of tcplab: see tcplab --help`},
		{"list -o yaml", `output "yaml": write text or json`},
		{"run", "run takes the name of one story: see tcplab list"},
		{"run client-close -n x", `invalid argument "x" for "-n, --count" flag: strconv.ParseInt: parsing "x": invalid syntax: see tcplab run --help`},
		{"run client-close -n 99999", "story client-close: 99999 connections: 1 to 10007 can be made"},
		{"run client-close --network pigeon", `story client-close: network "pigeon": it runs over [loopback veth wire]`},
	} {
		_, err := tcplab(t, strings.Fields(tc.line)...)
		if err == nil || err.Error() != tc.want {
			t.Errorf("tcplab %s:\n got %v\nwant %s", tc.line, err, tc.want)
		}
		if !errors.As(err, new(usageError)) {
			t.Errorf("tcplab %s: not taken for a wrong command line", tc.line)
		}
	}
}

// TestRun_WaitsForALine: the namespaces are told first, and traffic begins
// with the line. Needs root.
func TestRun_WaitsForALine(t *testing.T) {
	needNamespaces(t)
	in, line := io.Pipe()
	printed, out := io.Pipe()
	cmd := root()
	cmd.SetArgs([]string{"run", "refused", "-n", "7", "-6", "--wait"})
	cmd.SetIn(in)
	cmd.SetOut(out)
	done := make(chan error, 1)
	go func() {
		err := cmd.ExecuteContext(t.Context())
		out.CloseWithError(io.EOF)
		done <- err
	}()
	r := bufio.NewReader(printed)
	var ready struct {
		Ready bool
		NetNS []uint32
	}
	first, err := r.ReadBytes('\n')
	if err != nil {
		t.Fatal(err, <-done)
	}
	if err := json.Unmarshal(first, &ready); err != nil || !ready.Ready || len(ready.NetNS) != 1 {
		t.Fatalf("first line %q: %v", first, err)
	}
	if _, err := io.WriteString(line, "\n"); err != nil {
		t.Fatal(err)
	}
	var truth lab.Truth
	if err := json.NewDecoder(r).Decode(&truth); err != nil {
		t.Fatal(err)
	}
	if truth.Count != 7 || truth.Family != "ipv6" || !slices.Equal(truth.Inodes(), ready.NetNS) {
		t.Errorf("%d connections over %s in %v, want 7 over ipv6 in %v", truth.Count, truth.Family, truth.Inodes(), ready.NetNS)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestRun_NobodySaysGo: standard input ends without a line. Needs root.
func TestRun_NobodySaysGo(t *testing.T) {
	needNamespaces(t)
	_, err := tcplab(t, "run", "refused", "--wait")
	const want = "story refused: ready: read the line to begin at: EOF"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestRun_TimesOut: --timeout ends a story that would go on. Needs root.
func TestRun_TimesOut(t *testing.T) {
	needNamespaces(t)
	_, err := tcplab(t, "run", "half-close", "--hold", "1h", "--timeout", "300ms")
	const want = "story half-close: not done after 300ms: see --timeout"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

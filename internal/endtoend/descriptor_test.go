//go:build linux

package endtoend

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// closeWaitDescriptors reads from /proc alone which descriptors of a process are
// sockets in CLOSE_WAIT.
func closeWaitDescriptors(t *testing.T, pid int) (fds []int) {
	t.Helper()
	inodes := map[string]bool{}
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		if column := strings.Fields(line); column[3] == "08" {
			inodes["socket:["+column[9]+"]"] = true
		}
	}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && inodes[to] {
			fd, err := strconv.Atoi(filepath.Base(link))
			if err != nil {
				t.Fatal(err)
			}
			fds = append(fds, fd)
		}
	}
	slices.Sort(fds)
	return fds
}

// numbers reads a figure that is a list.
func numbers(figure any) (all []int) {
	list, _ := figure.([]any)
	for _, n := range list {
		all = append(all, int(n.(float64)))
	}
	return all
}

// A leak names the descriptors that leak, all of them and no other, as it
// arises and at the end, how old the oldest is, and the code that accepted them.
func TestWhy_Descriptors(t *testing.T) {
	if testing.Short() {
		t.Skip("it lasts several seconds")
	}
	t.Parallel()
	var tr *tracer
	var told []finding
	var want []int
	var server int
	var leaks *bufio.Scanner
	ready := func(netns string) {
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		tr = start(t, in, "why", "--stacks", "-o", "json", "--duration", "20s", netns)
		in.Close()
		told, leaks = nil, bufio.NewScanner(out)
	}
	params := lab.Params{N: 7, Held: func(truth *lab.Truth) error {
		told = append(told, nextLeak(t, leaks, 7))
		server = truth.Conns[0].AccepterPID
		want = closeWaitDescriptors(t, server)
		if !told[0].Final {
			tr.interrupt()
			told = append(told, nextLeak(t, leaks, 7))
		}
		return nil
	}}
	play(t, "close-wait-leak", params, ready)
	for _, f := range told {
		if diff := cmp.Diff(want, numbers(f.Evidence["fds"])); diff != "" || len(want) != 7 {
			t.Errorf("descriptors (-/proc +tcptrace):\n%s", diff)
		}
		age, _ := f.Evidence["oldest_ns"].(float64)
		if n := f.Evidence["fd_count"]; n != 7.0 || age < 5e9 || f.Process.PID != server {
			t.Errorf("%v descriptors of process %d, for %v ns", n, f.Process.PID, age)
		}
		f.checkStack(t, "accept", "(*socket).accept", "(*actor).accept", "playExiter")
	}
}

// nextLeak reads on to a leak of so many sockets, or to what stands at the end.
func nextLeak(t *testing.T, lines *bufio.Scanner, count int) (f finding) {
	t.Helper()
	for lines.Scan() {
		f = finding{}
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		if f.Rule == "close-wait-leak" && (f.Count == count || f.Final) {
			break
		}
	}
	return f
}

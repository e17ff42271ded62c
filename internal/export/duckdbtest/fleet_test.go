//go:build linux

package duckdbtest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tcptrace/tcptrace/internal/lab"
)

func TestMain(m *testing.M) {
	lab.Act()
	os.Exit(m.Run())
}

// A recorder is tcptrace on a host that sees one network namespace.
type recorder struct {
	cmd  *exec.Cmd
	file string
}

// record starts a recorder with a host's name of its own.
func record(t *testing.T, program, host string, netns uint32) (*recorder, error) {
	t.Helper()
	r := &recorder{file: filepath.Join(t.TempDir(), host+".ttr")}
	r.cmd = exec.Command("unshare", "--uts", "sh", "-c", `hostname "$1"; shift; exec "$@"`, "sh", host,
		program, "record", "--netns", fmt.Sprint(netns), r.file)
	said, err := r.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		r.cmd.Process.Kill()
		r.cmd.Wait()
	})
	if first, err := bufio.NewReader(said).ReadString('\n'); !strings.HasPrefix(first, "tracing") {
		return nil, fmt.Errorf("it does not say that it is tracing, but %q, %v", first, err)
	}
	return r, nil
}

func (r *recorder) end() error {
	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	return r.cmd.Wait()
}

// recommended returns the SQL of docs/scale.md, of the given file.
func recommended(t *testing.T, file string) (queries []string) {
	t.Helper()
	text, err := os.ReadFile("../../../docs/scale.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(text), "```sql\n")[1:] {
		q, _, _ := strings.Cut(part, "```")
		queries = append(queries, strings.ReplaceAll(q, "both.parquet", file))
	}
	return queries
}

// Two hosts see one end each, and the queries of docs/scale.md tell who reset
// whom.
func TestFleet_BothEndsOfTwoHosts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this traces real sockets: run it as root")
	}
	program := filepath.Join(t.TempDir(), "tcptrace")
	build := exec.Command("go", "build", "-o", program, "./cmd/tcptrace")
	build.Dir, build.Env = "../../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	played, err := lab.Lookup("reset-linger")
	if err != nil {
		t.Fatal(err)
	}
	var hosts []*recorder
	params := lab.Params{Network: lab.Veth, N: 23, Ready: func(netns []uint32) error {
		hosts = nil
		for i, name := range []string{"web-1", "db-1"} {
			r, err := record(t, program, name, netns[i])
			if err != nil {
				return err
			}
			hosts = append(hosts, r)
		}
		return nil
	}, Over: func(*lab.Truth) error {
		for _, r := range hosts {
			if err := r.end(); err != nil {
				return err
			}
		}
		return nil
	}}
	var runErr error
	lab.Unshielded(t.Logf, func() { _, runErr = played.Run(t.Context(), params) })
	if runErr != nil {
		t.Fatal(runErr)
	}
	both := filepath.Join(t.TempDir(), "both.parquet")
	if out, err := exec.Command(program, "export", hosts[0].file, hosts[1].file, "--to", both).CombinedOutput(); err != nil {
		t.Fatalf("export: %v\n%s", err, out)
	}
	q := recommended(t, both)
	if len(q) != 3 {
		t.Fatalf("docs/scale.md has %d queries, want 3", len(q))
	}
	want(t, query(t, q[0]+"select count(*), count(distinct client_end_point) from pairs"), "23 23")
	want(t, query(t, q[0]+q[1]), "web-1 duckdbtest.test reset-linger db-1 duckdbtest.test 23")
	want(t, query(t, q[0]+q[2]))
}

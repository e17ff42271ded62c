//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tcptrace": main})
}

// TestScript tells what a user types and sees. Beside testscript's own, there
// are two commands:
//
//	status N tcptrace ARG...   runs a program, which must exit with N
//	nobody N tcptrace ARG...   the same, without any privilege
//
// and $LAB is a recording of the laboratory.
func TestScript(t *testing.T) {
	recording, err := filepath.Abs("../../internal/recording/testdata/v1.ttr")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("LAB", recording)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": status,
			"nobody": nobody,
		},
	})
}

func status(ts *testscript.TestScript, neg bool, args []string) {
	want := wantedStatus(ts, neg, args)
	if got := exitStatus(ts, ts.Exec(args[1], args[2:]...)); got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// nobodyID is the user and group that own nothing.
const nobodyID = 65534

func nobody(ts *testscript.TestScript, neg bool, args []string) {
	want := wantedStatus(ts, neg, args)
	// Another user may not look into the directory of this test binary, but
	// every process may execute itself.
	cmd := exec.Command("/proc/self/exe", args[2:]...)
	cmd.Args[0] = args[1]
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=/"}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobodyID, Gid: nobodyID}}
	}
	if got := exitStatus(ts, cmd.Run()); got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func wantedStatus(ts *testscript.TestScript, neg bool, args []string) int {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N program [argument...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	return want
}

func exitStatus(ts *testscript.TestScript, err error) int {
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	ts.Check(err)
	return 0
}

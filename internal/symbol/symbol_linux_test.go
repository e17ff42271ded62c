package symbol

import (
	"bufio"
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// helperVar makes the test binary a process that says where it is in its code,
// and waits until its input ends.
const helperVar = "SYMBOL_TEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperVar) != "" {
		for _, address := range here() {
			fmt.Print(address, " ")
		}
		fmt.Println()
		bufio.NewReader(os.Stdin).ReadByte()
		return
	}
	os.Exit(m.Run())
}

// here returns the return addresses of its callers, as a kernel finds them.
//
//go:noinline
func here() []uint64 {
	var frames [16]uintptr
	var all []uint64
	for _, f := range frames[:runtime.Callers(2, frames[:])] {
		all = append(all, uint64(f))
	}
	return all
}

// start runs a program until the test ends.
func start(t *testing.T, cmd *exec.Cmd) (pid uint32, output io.Reader) {
	t.Helper()
	input, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() {
		input.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	return uint32(cmd.Process.Pid), out
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// helper runs a program as a helper, and returns where it is.
func helper(t *testing.T, program string) (pid uint32, frames []uint64) {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), helperVar+"=1")
	pid, out := start(t, cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	check(t, err)
	for field := range strings.FieldsSeq(line) {
		var address uint64
		_, err := fmt.Sscan(field, &address)
		check(t, err)
		frames = append(frames, address)
	}
	return pid, frames
}

func copyOf(t *testing.T) string {
	t.Helper()
	whole, err := os.ReadFile("/proc/self/exe")
	check(t, err)
	path := filepath.Join(t.TempDir(), "a program")
	check(t, os.WriteFile(path, whole, 0o755))
	return path
}

// Go's own table names functions and lines, in our process and in another.
func TestFunctions_Go(t *testing.T) {
	_, _, line, _ := runtime.Caller(0)
	got := NewResolver().Functions(uint32(os.Getpid()), here())
	want := fmt.Sprintf("github.com/tcptrace/tcptrace/internal/symbol.TestFunctions_Go (symbol_linux_test.go:%d)", line+1)
	if got[0] != want || !strings.HasPrefix(got[1], "testing.tRunner (testing.go:") {
		t.Errorf("we are in %q, want %q", got, want)
	}
	pid, frames := helper(t, copyOf(t))
	got = NewResolver().Functions(pid, frames)
	if !strings.HasPrefix(got[0], "github.com/tcptrace/tcptrace/internal/symbol.TestMain (symbol_linux_test.go:") ||
		!strings.HasPrefix(got[1], "main.main (") || !strings.HasPrefix(got[2], "runtime.main (proc.go:") {
		t.Errorf("the helper is in %q", got)
	}
}

// A deleted program runs on, and is read as long as it does, if we may; then
// nothing is known of it.
func TestFunctions_DeletedAndGone(t *testing.T) {
	program := copyOf(t)
	pid, frames := helper(t, program)
	check(t, os.Remove(program))
	got := NewResolver().Functions(pid, frames[:1])
	if os.Geteuid() == 0 {
		if !strings.HasPrefix(got[0], "github.com/tcptrace/tcptrace/internal/symbol.TestMain (") {
			t.Errorf("of a deleted program: %q", got)
		}
	} else if !strings.HasPrefix(got[0], "a program+0x") {
		t.Errorf("of a deleted program: %q", got)
	}
	if got := NewResolver().Functions(1<<22, []uint64{0xabc}); got != nil {
		t.Errorf("of nobody: %q", got)
	}
	if got := NewResolver().Functions(pid, []uint64{0, 1, ^uint64(0)}); !slices.Equal(got, []string{"0x0", "0x1", "0xffffffffffffffff"}) {
		t.Errorf("nowhere: %q", got)
	}
}

// A library is named by its dynamic symbols, and where it has none, by the place.
func TestFunctions_Library(t *testing.T) {
	pid, _ := start(t, exec.Command("cat"))
	var libc mapping
	for libc.path == "" { // it begins as us
		all, err := mappings("/proc", pid)
		check(t, err)
		for _, m := range all {
			if strings.HasPrefix(filepath.Base(m.path), "libc.so") || strings.HasPrefix(filepath.Base(m.path), "libc-") {
				libc = m
			}
		}
	}
	file, err := elf.Open(libc.path)
	check(t, err)
	defer file.Close()
	symbols, err := file.DynamicSymbols()
	check(t, err)
	i := slices.IndexFunc(symbols, func(s elf.Symbol) bool { return s.Name == "getaddrinfo" })
	if i < 0 {
		t.Fatalf("%s has no getaddrinfo", libc.path)
	}
	var segment *elf.Prog
	for _, p := range file.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 {
			segment = p
		}
	}
	address := symbols[i].Value - segment.Vaddr + segment.Off - libc.offset + libc.begin
	got := NewResolver().Functions(pid, []uint64{address + 8, libc.begin + 1})
	base := filepath.Base(libc.path)
	if got[0] != "getaddrinfo+0x7 ("+base+")" {
		t.Errorf("in getaddrinfo: %q", got[0])
	}
	if want := fmt.Sprintf("%s+0x%x", base, libc.offset); got[1] != want {
		t.Errorf("before the first function: %q, want %q", got[1], want)
	}
}

// Files that are broken in any way name nothing, and do no harm.
func TestReadTable_Bad(t *testing.T) {
	whole, err := os.ReadFile("/proc/self/exe")
	check(t, err)
	for _, bad := range [][]byte{nil, []byte("#!/bin/sh\n"), whole[:4], whole[:64], whole[:4096]} {
		if got := readTable(bytes.NewReader(bad), int64(len(bad))); got != nil {
			if _, ok := got.name(0x1000, "x"); ok {
				t.Errorf("%d bytes of a program name something", len(bad))
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		broken := bytes.Clone(whole)
		for range 50 {
			broken[random.IntN(4096)] ^= byte(random.IntN(256)) // headers
			broken[random.IntN(len(broken))] ^= byte(random.IntN(256))
		}
		if got := readTable(bytes.NewReader(broken), int64(len(broken))); got != nil {
			got.name(uint64(random.IntN(len(broken))), "x")
		}
	}
}

func TestParseMapping(t *testing.T) {
	for line, want := range map[string]mapping{
		"559f14a00000-559f14c00000 r-xp 00001000 08:01 1234   /usr/bin/a program (deleted)\n": {
			0x559f14a00000, 0x559f14c00000, 0x1000, "/usr/bin/a program (deleted)"},
		"559f14a00000-559f14c00000 r--p 00001000 08:01 1234   /usr/bin/program\n": {},
		"7ffd4c5e2000-7ffd4c5e4000 r-xp 00000000 00:00 0      [vdso]\n":           {},
		"7ffd4c5e2000-7ffd4c5e4000 r-xp 00000000 00:00 0 \n":                      {},
		"":                               {},
		"x-y r-xp 00000000 00:00 0 /a\n": {path: "/a"},
	} {
		got, ok := parseMapping(line)
		if ok != (want.begin != 0) || ok && got != want {
			t.Errorf("%q is %+v, %v", line, got, ok)
		}
	}
}

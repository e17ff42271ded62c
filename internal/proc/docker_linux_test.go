package proc

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// idle is a program for an image that holds nothing else.
const idle = `package main

import "os"

func main() {
	os.Stdout.WriteString("ready\n")
	select {}
}

func init() { go func() { os.Stdin.Read(make([]byte, 1)); os.Exit(0) }() }
`

// docker runs the client and returns what it writes.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).Output()
	if err != nil {
		detail := ""
		if e := (*exec.ExitError)(nil); errors.As(err, &e) {
			detail = string(e.Stderr)
		}
		t.Fatalf("docker %s: %v %s", strings.Join(args, " "), err, detail)
	}
	return strings.TrimSpace(string(out))
}

// makeImage makes an image of the program alone, and returns its id.
func makeImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/main.go", []byte(idle), 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", dir+"/idle", dir+"/main.go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the image's program: %v\n%s", err, out)
	}
	if out, err := exec.Command("tar", "-C", dir, "-cf", dir+"/image.tar", "idle").CombinedOutput(); err != nil {
		t.Fatalf("pack the image: %v\n%s", err, out)
	}
	image := docker(t, "import", "-c", `ENTRYPOINT ["/idle"]`, dir+"/image.tar")
	t.Cleanup(func() { docker(t, "rmi", "-f", image) })
	return image
}

func TestContainer_OfARealEngine(t *testing.T) {
	needRoot(t)
	if err := exec.Command("docker", "info").Run(); err != nil {
		t.Skip("no Docker engine is running")
	}
	image := makeImage(t)
	file := t.TempDir() + "/id"
	c := spawn(t, "docker", "run", "-i", "--rm", "--cidfile", file, image)
	id := string(readFile(t, file))
	number, err := strconv.Atoi(docker(t, "inspect", "-f", "{{.State.Pid}}", id))
	if err != nil {
		t.Fatal(err)
	}
	pid := uint32(number)
	sandbox := docker(t, "inspect", "-f", "{{.NetworkSettings.SandboxKey}}", id)

	r := newLive(t, Options{Run: strings.TrimSuffix(sandbox, "/docker/netns/"+filepath.Base(sandbox))})
	at := monotonic()
	got, ok := r.Container(0, pid, at)
	if !ok || got.ID != id || got.Runtime != Docker {
		t.Errorf("container of pid %d is %+v, %v, want %s", pid, got, ok, id)
	}
	p, ok := r.Process(pid, at)
	if !ok || p.Comm != "idle" || p.Exe != "/idle" {
		t.Errorf("process is %+v, %v", p, ok)
	}
	if path, ok := pathIn(readFile(t, "/proc/"+strconv.Itoa(number)+"/cgroup"), ""); ok && ParsePath(path).ID != "" {
		wantContainer(t, r, inode(t, r.cgroups.mount+path), path)
	}
	expectNetNS(t, r, NetNS{uint32(inode(t, sandbox)), filepath.Base(sandbox), NetNSDocker, pid, sandbox})

	c.end()
	if again, ok := r.Container(0, pid, at); !ok || again != got {
		t.Errorf("after its end: %+v, %v", again, ok)
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

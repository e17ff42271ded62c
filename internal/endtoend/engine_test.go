//go:build linux

package endtoend

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// An engine is a Docker engine of the test's own: its network is in a network
// namespace, its mounts are in a mount namespace, its files and cgroups in
// directories that nothing else uses. It shares nothing with one that the host
// may run.
type engine struct {
	t     *testing.T
	host  *helper // holds its network namespace
	env   []string
	image string
	peer  string // the image's program, for whoever is in no container
}

// startEngine returns when the engine answers.
func startEngine(t *testing.T) *engine {
	t.Helper()
	dockerd, err := exec.LookPath("dockerd")
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("no program dockerd (Debian has it in docker.io)")
	}
	dir := t.TempDir()
	e := &engine{t: t, host: startHelper(t, "hold", nil), peer: buildPeer(t)}
	e.env = append(os.Environ(), "DOCKER_HOST=unix://"+dir+"/socket", "DOCKER_CONFIG="+dir)
	parent := fmt.Sprintf("/tcptrace-test-%d", os.Getpid())
	t.Cleanup(func() { removeCgroups(t, parent) })
	cmd := exec.Command(lookup(t, "nsenter"), "-t", fmt.Sprint(e.host.pid), "-n", "unshare", "-m",
		"sh", "-ec", `mount -t tmpfs none /run; mkdir -p /etc/docker; mount -t tmpfs none /etc/docker; exec "$0" "$@"`,
		dockerd, "-H", "unix://"+dir+"/socket", "-p", dir+"/pid", "--data-root", dir+"/data", "--exec-root", dir+"/exec",
		"--storage-driver", "vfs", "--bip", "172.17.0.1/16", "--userland-proxy=false",
		"--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", parent+"/docker")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		io.Copy(io.Discard, log) // until the engine, and its containerd, are gone
		cmd.Wait()
	})
	var said strings.Builder
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		if strings.Contains(lines.Text(), "API listen on ") {
			go io.Copy(io.Discard, log)
			e.makeImage()
			return e
		}
	}
	t.Fatalf("the engine ends, and says:\n%s", &said)
	return nil
}

// removeCgroups removes a cgroup and what is in it from each hierarchy.
func removeCgroups(t *testing.T, path string) {
	t.Helper()
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		for _, below := range []string{"/docker/*", "/docker", ""} {
			dirs, _ := filepath.Glob(pattern + path + below)
			for _, dir := range dirs {
				if st, err := os.Lstat(dir); err == nil && st.IsDir() {
					if err := syscall.Rmdir(dir); err != nil {
						t.Errorf("remove the cgroup %s: %v", dir, err)
					}
				}
			}
		}
	}
}

func buildPeer(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "peer")
	build := exec.Command("go", "build", "-o", name, "./testdata/peer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return name
}

// makeImage makes an image that holds nothing but the peer.
func (e *engine) makeImage() {
	e.t.Helper()
	tar := e.t.TempDir() + "/image.tar"
	if out, err := exec.Command("tar", "-C", filepath.Dir(e.peer), "-cf", tar, "peer").CombinedOutput(); err != nil {
		e.t.Fatalf("tar: %v\n%s", err, out)
	}
	e.image = e.docker("import", "-c", `ENTRYPOINT ["/peer"]`, tar)
}

func (e *engine) docker(args ...string) string {
	e.t.Helper()
	cmd := exec.Command(lookup(e.t, "docker"), args...)
	cmd.Env = e.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		e.t.Fatalf("docker %s: %v %s", strings.Join(args, " "), err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// A peer is a running peer (testdata/peer), in a container or not.
type peer struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
	pid int // as the host counts

	// of a container; else ""
	id     string
	cgroup string
	addr   string // its IP
	netns  string // inode
}

// startPeer starts a command that leads to a peer, which is yet to say that it
// is ready.
func startPeer(t *testing.T, cmd *exec.Cmd) *peer {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return &peer{t: t, in: in, out: bufio.NewReader(out), pid: cmd.Process.Pid}
}

// run starts a container with a peer, and returns when that is ready.
func (e *engine) run(options []string, args ...string) *peer {
	e.t.Helper()
	file := e.t.TempDir() + "/id"
	all := append([]string{"run", "-i", "--cidfile", file}, options...)
	cmd := exec.Command(lookup(e.t, "docker"), append(append(all, e.image), args...)...)
	cmd.Env = e.env
	p := startPeer(e.t, cmd)
	e.t.Cleanup(func() { // a server does not heed the end of its input
		if id, err := os.ReadFile(file); err == nil {
			e.docker("rm", "-f", string(id))
		}
	})
	p.expect("ready")
	id, err := os.ReadFile(file)
	if err != nil {
		e.t.Fatal(err)
	}
	p.id = string(id)
	p.cgroup = fmt.Sprintf("/tcptrace-test-%d/docker/%s", os.Getpid(), id)
	p.addr = e.docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", p.id)
	if p.pid, err = strconv.Atoi(e.docker("inspect", "-f", "{{.State.Pid}}", p.id)); err != nil {
		e.t.Fatal(err)
	}
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", p.pid))
	if err != nil {
		e.t.Fatal(err)
	}
	p.netns = strings.Trim(link, "net:[]")
	return p
}

// outside starts a peer in the engine's network, and in no container.
func (e *engine) outside(args ...string) *peer {
	e.t.Helper()
	p := startPeer(e.t, exec.Command(lookup(e.t, "nsenter"),
		append([]string{"-t", fmt.Sprint(e.host.pid), "-n", e.peer}, args...)...))
	p.expect("ready")
	return p
}

// tell sends a line and waits for the answer.
func (p *peer) tell(answer string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		p.t.Fatal(err)
	}
	p.expect(answer)
}

func (p *peer) expect(word string) {
	p.t.Helper()
	if line, err := p.out.ReadString('\n'); line != word+"\n" {
		p.t.Fatalf("the peer says %q, %v, want %q", line, err, word)
	}
}

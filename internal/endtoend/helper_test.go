//go:build linux

package endtoend

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// helperVar makes the test binary a process with sockets of its own: see help.
const helperVar = "ENDTOEND_TEST_HELPER"

// A helper is a process that holds sockets until the test ends.
type helper struct {
	pid   int
	netns string // inode
}

// startHelper runs the test binary for the job, with these arguments, and waits
// until it has its sockets. in is the helper whose network namespace it shares;
// nil gives it one of its own.
func startHelper(t testing.TB, job string, in *helper, args ...string) *helper {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this makes network namespaces: run it as root")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{"helper"}, args...)
	cmd.Env = append(os.Environ(), helperVar+"="+job)
	cmd.Stderr = os.Stderr
	if in == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	} else {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Path, cmd.Args = lookup(t, "nsenter"), []string{"nsenter", "-t", fmt.Sprint(in.pid), "-n", self}
	}
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		cmd.Wait()
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	if !strings.HasPrefix(line, "ready ") {
		t.Fatalf("the helper says %q, %v", line, err)
	}
	return &helper{cmd.Process.Pid, strings.TrimSpace(strings.TrimPrefix(line, "ready "))}
}

func lookup(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// help does a job and keeps its sockets until its input ends:
//
//	each NAME           calls itself NAME, and has a socket in each of some states
//	many ADDRESS COUNT  has COUNT connections to itself
//	talk, dial          see assert_test.go; these end by themselves
//	nat-server, nat-client  see join_test.go; likewise
func help(job string) {
	kind, rest, _ := strings.Cut(job, " ")
	try(upLoopback())
	switch kind {
	case "talk":
		talk(strings.Fields(rest)[0], strings.Fields(rest)[1])
	case "dial":
		dialFor(rest)
		return
	case "nat-server":
		natServer(rest)
		return
	case "nat-client":
		natClient(rest)
		return
	case "each":
		try(os.WriteFile(fmt.Sprintf("/proc/self/task/%d/comm", os.Getpid()), []byte(rest), 0))
		eachState()
	case "many":
		var host string
		var count int
		_, err := fmt.Sscan(rest, &host, &count)
		try(err)
		many(host, count)
	}
	var st unix.Stat_t
	try(unix.Stat("/proc/self/ns/net", &st))
	fmt.Println("ready", st.Ino)
	bufio.NewReader(os.Stdin).ReadByte()
}

func try(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func upLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// eachState leaves: LISTEN, with one connection that waits for accept(); an
// ESTABLISHED pair with 5 bytes unread; FIN_WAIT2 that nobody holds, and its
// CLOSE_WAIT; TIME_WAIT.
func eachState() {
	l := listen("127.0.0.1:8080", 7)
	client, _ := pair(l)
	_, err := unix.Write(client, []byte("hello"))
	try(err)
	client, _ = pair(l)
	try(unix.Close(client))
	client, server := pair(l)
	try(unix.Close(client))
	eof := make([]byte, 1)
	_, err = unix.Read(server, eof) // its FIN is here
	try(err)
	try(unix.Close(server))
	dial(l)
}

func many(host string, count int) {
	limit := unix.Rlimit{Cur: 20000, Max: 20000}
	try(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	l := listen(host+":8080", 100)
	for range count {
		pair(l)
	}
}

func listen(at string, backlog int) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	try(err)
	addr := netip.MustParseAddrPort(at)
	try(unix.Bind(fd, &unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())}))
	try(unix.Listen(fd, backlog))
	return fd
}

func dial(listener int) int {
	to, err := unix.Getsockname(listener)
	try(err)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	try(err)
	try(unix.Connect(fd, to))
	return fd
}

func pair(listener int) (client, server int) {
	client = dial(listener)
	server, _, err := unix.Accept(listener)
	try(err)
	return client, server
}

//go:build linux

package snapshot

import (
	"bufio"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// helperVar makes the test binary a helper: see TestMain.
const helperVar = "SNAPSHOT_TEST_HELPER"

func TestMain(m *testing.M) {
	switch job := os.Getenv(helperVar); {
	case job == "":
		os.Exit(m.Run())
	case job == "hold":
		hold()
	default:
		connectMany(job)
	}
}

// hold says that it runs, and keeps what it inherited until its input ends.
func hold() {
	os.Stdout.WriteString("ready\n")
	bufio.NewReader(os.Stdin).ReadByte()
}

// startHelper runs the test binary for the job, in the thread's namespace, and
// waits until it says "ready"; files become its descriptors 3, 4, ...
func startHelper(t testing.TB, job string, files ...*os.File) (pid uint32) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVar+"="+job)
	cmd.ExtraFiles = files
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "ready\n" {
		t.Fatalf("helper says %q, %v", line, err)
	}
	return uint32(cmd.Process.Pid)
}

// file returns a second descriptor of s.
func (s *socket) file() *os.File {
	s.t.Helper()
	fd, err := unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0)
	check(s.t, err)
	f := os.NewFile(uintptr(fd), "socket")
	s.t.Cleanup(func() { f.Close() })
	return f
}

var loopback = netip.MustParseAddrPort("127.0.0.1:8080")

// A child that inherits a listener holds it too, under its own descriptor and
// name; a process that has it twice is named twice.
func TestTake_SeveralHolders(t *testing.T) {
	r := newReader(t)
	privateNet(t)
	listener := listen(t, loopback, 7)
	second := listener.file()
	child := startHelper(t, "hold", second)
	s := find(t, take(t, r, Options{}), "listener", byCookie(listener.cookie()))
	me := uint32(os.Getpid())
	name := ourComm(t)
	want := []Holder{
		{PID: me, FD: uint32(listener.fd), Comm: name},
		{PID: me, FD: uint32(second.Fd()), Comm: name},
		{PID: child, FD: 3, Comm: comm("exe")},
	}
	got := slices.Clone(s.Holders)
	slices.SortFunc(got, func(a, b Holder) int { return int(a.PID<<16+a.FD) - int(b.PID<<16+b.FD) })
	slices.SortFunc(want, func(a, b Holder) int { return int(a.PID<<16+a.FD) - int(b.PID<<16+b.FD) })
	if !slices.Equal(got, want) {
		t.Errorf("holders\n got %+v\nwant %+v", got, want)
	}
}

// Of one process its own descriptors alone are listed, with what /proc calls the
// same socket; and a look at one process leaves the next snapshot whole.
func TestDescriptors(t *testing.T) {
	r := newReader(t)
	privateNet(t)
	listener := listen(t, loopback, 7)
	second := listener.file()
	child := startHelper(t, "hold", second)
	descriptors := func(pid uint32) (fds []uint32) {
		t.Helper()
		check(t, r.Descriptors(t.Context(), pid, func(id event.ID, fd uint32) {
			if id.Cookie == listener.cookie() {
				fds = append(fds, fd)
			}
		}))
		return fds
	}
	if got := descriptors(child); !slices.Equal(got, []uint32{3}) {
		t.Errorf("the child's are %v, want 3", got)
	}
	want := []uint32{uint32(listener.fd), uint32(second.Fd())}
	slices.Sort(want)
	if got := descriptors(uint32(os.Getpid())); !slices.Equal(got, want) {
		t.Errorf("ours are %v, want %v", got, want)
	}
	if got := descriptors(1 << 22); len(got) != 0 { // no process has that number
		t.Errorf("nobody's are %v", got)
	}
	if s := find(t, take(t, r, Options{}), "listener", byCookie(listener.cookie())); len(s.Holders) != 3 {
		t.Errorf("holders afterwards: %+v", s.Holders)
	}
}

// More holders than are named are counted.
func TestTake_ManyHolders(t *testing.T) {
	r := newReader(t)
	privateNet(t)
	listener := listen(t, loopback, 7)
	for range MaxHolders + 6 {
		listener.file()
	}
	s := find(t, take(t, r, Options{}), "listener", byCookie(listener.cookie()))
	if len(s.Holders) != MaxHolders || s.MoreHolders != 7 {
		t.Errorf("%d holders and %d more, want %d and 7", len(s.Holders), s.MoreHolders, MaxHolders)
	}
}

// The owner of a socket that nobody holds is unknown: it is in a message from
// one process to another.
func TestTake_InFlight(t *testing.T) {
	r := newReader(t)
	privateNet(t)
	listener := listen(t, loopback, 7)
	cookie := listener.cookie()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	check(t, unix.Sendmsg(pair[0], []byte("x"), unix.UnixRights(listener.fd), nil, 0))
	listener.close()
	s := find(t, take(t, r, Options{}), "listener", byCookie(cookie))
	if len(s.Holders) != 0 || s.Orphan || s.Unaccepted || s.Inode == 0 {
		t.Errorf("in flight: %+v", *s)
	}
}

// The sockets below an MPTCP socket have its inode and no descriptor: their
// holder is the MPTCP socket's.
func TestTake_MPTCP(t *testing.T) {
	on, err := os.ReadFile("/proc/sys/net/mptcp/enabled")
	if err != nil || strings.TrimSpace(string(on)) != "1" {
		t.Skip("this kernel has no MPTCP")
	}
	r := newReader(t)
	privateNet(t)
	multi := func() *socket {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_MPTCP)
		check(t, err)
		s := &socket{t, fd}
		t.Cleanup(s.close)
		return s
	}
	listener, client := multi(), multi()
	check(t, unix.Bind(listener.fd, sockaddr(loopback)))
	check(t, unix.Listen(listener.fd, 7))
	check(t, unix.Connect(client.fd, sockaddr(loopback)))
	server := listener.accept()
	snap := settled(t, r, map[tcp.State]int{tcp.Listen: 1, tcp.Established: 2})
	for what, want := range map[string]*socket{"listener": listener, "client": client, "server": server} {
		s := find(t, snap, what, func(s *Socket) bool { return s.Inode == want.inode() })
		if len(s.Holders) != 1 || s.Holders[0].FD != uint32(want.fd) {
			t.Errorf("%s: %+v, want descriptor %d", what, *s, want.fd)
		}
	}
}

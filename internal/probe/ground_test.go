//go:build linux

package probe_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/probe"
)

// A ground is a network namespace with nothing but a loopback device, and the
// thread in it that a play runs on. Its methods end the test if they fail.
type ground struct {
	t     *testing.T
	inode uint32
	tally [event.NumKinds]probe.Tally // once the play is over
	swept chan struct{}               // closed by the first sweep, if there are any

	source *probe.Source
}

// playOn traces a ground while play makes its traffic, and returns the events
// in their order. It may do so more than once: see lab.Unshielded.
func playOn(t *testing.T, options probe.Options, play func(g *ground)) (events []event.Event, g *ground) {
	t.Helper()
	options.NoSweep = true
	return playWith(t, options, func(*ground) {}, play)
}

// playAfter is playOn, with sweeps, and before the trace begins there is what
// older makes.
func playAfter(t *testing.T, older, play func(g *ground)) (events []event.Event, g *ground) {
	t.Helper()
	return playWith(t, probe.Options{}, older, play)
}

func playWith(t *testing.T, options probe.Options, older, play func(g *ground)) (events []event.Event, g *ground) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("live tests trace real sockets: run them as root")
	}
	lab.Unshielded(t.Logf, func() {
		g, events = &ground{t: t, swept: make(chan struct{})}, nil
		failed := make(chan error)
		go func() {
			runtime.LockOSThread() // and it ends with this goroutine
			failed <- g.trace(options, older, play, &events)
		}()
		if err := <-failed; errors.As(err, new(tooOld)) {
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
	})
	return events, g
}

func (g *ground) trace(options probe.Options, older, play func(g *ground), events *[]event.Event) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case tooOld:
			err = r
		default:
			err = fmt.Errorf("play: %v", r)
		}
	}()
	if err := g.enter(); err != nil {
		return err
	}
	older(g)
	options.Filter.NetNS = []uint32{g.inode}
	source, err := probe.Open(options)
	if err != nil {
		return err
	}
	defer func() {
		closed := make(chan error)
		go func() { closed <- source.Close() }() // not on this thread, which may have descriptors of its own by now
		<-closed
	}()
	g.source = source
	ctx, cancel := context.WithCancel(g.t.Context())
	defer cancel()
	done := make(chan error)
	go func() {
		sweeps := 0
		done <- source.Run(ctx, func(ev *event.Event) {
			*events = append(*events, *ev)
			if ev.Kind == event.Swept {
				if sweeps++; sweeps == 1 {
					close(g.swept)
				}
			}
		})
	}()
	play(g)
	cancel()
	err = <-done
	g.tally = source.Tally()
	return err
}

func (g *ground) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return err
	}
	g.inode = uint32(st.Ino)
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE) // others take modules
	if err != nil {
		return err
	}
	defer handle.Close()
	lo, err := handle.LinkByName("lo")
	if err != nil {
		return err
	}
	return handle.LinkSetUp(lo)
}

// must ends the play if err is not nil. A play has no use for errors of its own:
// it knows what must work.
func must[T any](value T, err error) T {
	mustDo(err)
	return value
}

func mustDo(err error) {
	if err != nil {
		panic(err)
	}
}

// A tooOld error is a kernel's word that it cannot do what a play asks for.
type tooOld struct{ error }

// sysctl sets one of net.ipv4.
func (g *ground) sysctl(name string, value int) {
	mustDo(os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(strconv.Itoa(value)), 0))
}

// counter reads one of the namespace's counters, such as "Tcp RetransSegs" or
// "TcpExt TCPTimeouts".
func (g *ground) counter(name string) int {
	group, name, _ := strings.Cut(name, " ")
	for _, file := range []string{"snmp", "netstat"} {
		lines := strings.Split(string(must(os.ReadFile("/proc/thread-self/net/"+file))), "\n")
		for i := 0; i+1 < len(lines); i += 2 {
			names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
			for at := 1; at < len(names) && names[0] == group+":"; at++ {
				if names[at] == name {
					return must(strconv.Atoi(values[at]))
				}
			}
		}
	}
	panic("no counter " + group + " " + name)
}

var loopback = [4]byte{127, 0, 0, 1}

func socket() int {
	return must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
}

// listen returns a listener on a port that the kernel chose.
func listen(backlog int) (fd int, port int) {
	fd = socket()
	mustDo(unix.Bind(fd, &unix.SockaddrInet4{Addr: loopback}))
	mustDo(unix.Listen(fd, backlog))
	return fd, portOf(fd)
}

func portOf(fd int) int {
	switch at := must(unix.Getsockname(fd)).(type) {
	case *unix.SockaddrInet4:
		return at.Port
	case *unix.SockaddrInet6:
		return at.Port
	}
	panic("neither IPv4 nor IPv6")
}

func connect(fd, port int) error {
	return unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: loopback})
}

// pair returns the two ends of a connection to the listener.
func pair(listener int) (client, server int) {
	client = socket()
	mustDo(connect(client, portOf(listener)))
	server, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	mustDo(err)
	return client, server
}

func closeAll(fds ...int) {
	for _, fd := range fds {
		mustDo(unix.Close(fd))
	}
}

// deafen makes the socket drop whatever it receives, with a filter of its own.
func deafen(fd int) {
	drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	mustDo(unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop[0]}))
}

// undeafen takes that filter away.
func undeafen(fd int) { mustDo(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)) }

// until waits for a fact of the kernel that has no way to make itself known.
func (g *ground) until(what string, is func() bool) {
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			panic("waited 30 s for " + what)
		}
	}
}

// info reads the socket's struct tcp_info.
func info(fd int) *unix.TCPInfo {
	return must(unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO))
}

// of returns the events of a kind.
func of(events []event.Event, kind event.Kind) (list []event.Event) {
	for _, ev := range events {
		if ev.Kind == kind {
			list = append(list, ev)
		}
	}
	return list
}

// at leaves those whose local port it is.
func at(events []event.Event, port int) (list []event.Event) {
	for _, ev := range events {
		if ev.Local.Port() == uint16(port) {
			list = append(list, ev)
		}
	}
	return list
}

//go:build linux

package endtoend

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// A tracing is a trace in this process, for what no record tells.
type tracing struct {
	t       *testing.T
	cancel  context.CancelFunc
	ended   chan error
	trace   *trace.Trace
	summary trace.Summary
	lives   []conn.Connection // copies, in the order of their ends
	live    int               // most sockets followed at a time
	sent    uint64            // events of the kernel side
}

// traceHere starts a trace, and returns when it sees everything.
func traceHere(t *testing.T, options probe.Options) *tracing {
	t.Helper()
	tr := &tracing{t: t, ended: make(chan error, 1)}
	ready := make(chan struct{})
	tr.trace = trace.New(trace.Options{
		Filter: options.Filter, Sparse: options.FiltersProcesses(), Now: monotonic,
		Ready: func() { close(ready) },
	})
	options.OnBatch = func() {
		tr.live = max(tr.live, tr.trace.Stats().Live)
		tr.trace.Batch()
	}
	source, err := probe.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	tr.cancel = cancel
	go func() {
		var err error
		tr.summary, err = tr.trace.Run(ctx, source, tr)
		for _, n := range source.Tally() {
			tr.sent += n.Sent
		}
		tr.ended <- err
	}()
	t.Cleanup(func() {
		cancel()
		source.Close()
	})
	<-ready
	return tr
}

// Show keeps what has ended.
func (tr *tracing) Show(c *conn.Change) bool {
	if c.Kind == conn.Ended {
		tr.lives = append(tr.lives, *c.Conn)
	}
	return true
}

func (tr *tracing) Flush() error { return nil }

func (tr *tracing) end() {
	tr.t.Helper()
	tr.cancel()
	if err := <-tr.ended; err != nil {
		tr.t.Fatal(err)
	}
}

func monotonic() event.Time {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return event.Time(now.Nano())
}

// Beside the churn of another process, a trace of ours shows nothing, and
// neither its memory nor the ring fill with it.
func TestPID_OfABusyHost(t *testing.T) {
	var tr *tracing
	params := lab.Params{Duration: 3 * time.Second}
	params.Ready = func(netns []uint32) error {
		tr = traceHere(t, probe.Options{Filter: filter.Filter{NetNS: netns, PIDs: []uint32{1}}, RingBytes: 32 << 20})
		return nil
	}
	story, err := lab.Lookup("churn")
	if err != nil {
		t.Fatal(err)
	}
	truth, err := story.Run(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	tr.end()
	s := tr.summary
	t.Logf("%d connections, %.0f a second: %d records, %d left out, %d waited too long, %d lost; at most %d sockets followed, %d at the end; %.2f events each",
		truth.Count, truth.Rate, s.Records, s.Unjudged, s.Overflown, s.Lost, tr.live, tr.trace.Stats().Live, float64(tr.sent)/float64(truth.Count))
	if s.Records != 0 || s.Unjudged != 0 || s.Overflown != 0 || s.Dropped != 0 {
		t.Errorf("%+v, want nothing of others", s)
	}
	if tr.live > 500 { // connections that nobody has read from yet
		t.Errorf("%d sockets followed at a time, of %d", tr.live, 2*truth.Count)
	}
}

// A process that gets its connection from another, which accepted it and is not
// asked for, is shown what it does with it itself.
func TestPID_OfWhoGotTheSocket(t *testing.T) {
	tr := start(t, nil, "watch", "-o", "json", "--exact-accept", "--pid", strconv.Itoa(os.Getpid()))
	other := startHelper(t, "many 127.0.0.1 1", nil)
	socket := take(t, other.pid)
	if err := unix.Kill(other.pid, unix.SIGKILL); err != nil { // which closes the client's end
		t.Fatal(err)
	}
	if n, err := unix.Read(socket, make([]byte, 1)); n != 0 || err != nil {
		t.Fatalf("read %d bytes and %v, not the client's FIN", n, err)
	}
	if err := unix.Close(socket); err != nil {
		t.Fatal(err)
	}
	if status := tr.interrupt(); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	var got []string
	for _, l := range tr.records() {
		got = append(got, fmt.Sprintf("%s %s %s->%s by %d via %s", l.Type, l.Role, l.Old, l.New, l.Process.PID-os.Getpid(), l.Process.Via))
	}
	want := []string{
		"state  CLOSE_WAIT->LAST_ACK by 0 via close",
		"state  LAST_ACK->CLOSE by 0 via close",
		"connection  -> by 0 via close",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// take returns a descriptor of the connection that the process has accepted.
func take(t *testing.T, pid int) int {
	t.Helper()
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(process)
	for fd := range 64 {
		mine, err := unix.PidfdGetfd(process, fd, 0)
		if err != nil {
			continue
		}
		local, err := unix.Getsockname(mine)
		if in, ok := local.(*unix.SockaddrInet4); err == nil && ok && in.Port == 8080 {
			if _, err := unix.Getpeername(mine); err == nil {
				return mine
			}
		}
		unix.Close(mine)
	}
	t.Fatal("it has no such socket")
	return -1
}

// Without the hooks that name who accepts or reads, a process is known when it
// closes; until then it is said to be unknown, and no other is named.
func TestOwners_WithoutHooks(t *testing.T) {
	var tr *tracing
	params := lab.Params{N: 1009}
	params.Ready = func(netns []uint32) error {
		tr = traceHere(t, probe.Options{Filter: filter.Filter{NetNS: netns}, NoOwners: true, NoSweep: true})
		return nil
	}
	for name, want := range map[string]tally{
		"prefork":      {right: params.N},
		"http":         {right: params.N},
		"writes-first": {unknown: params.N}, // it closes when the trace is over
	} {
		story, err := lab.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		params.Held = func(*lab.Truth) error { tr.end(); return nil }
		truth, err := story.Run(t.Context(), params)
		if err != nil {
			t.Fatal(err)
		}
		closers := map[uint64]int{}
		for _, c := range truth.Conns {
			closers[uint64(c.ServerCookie)] = c.ServerCloserPID
			if c.ServerCloserPID == 0 || c.ServerCloserPID == os.Getpid() {
				t.Fatalf("%s: the server is closed by process %d", name, c.ServerCloserPID)
			}
		}
		var servers tally
		for i := range tr.lives {
			c := &tr.lives[i]
			if c.Role == conn.Server {
				servers.add(int(c.Owner.Task.PID), closers[c.ID.Cookie])
				if c.Owner.Known() && c.Owner.Via != conn.ViaClose {
					t.Errorf("%s: %x is known by %q", name, c.ID.Cookie, c.Owner.Via)
				}
			}
		}
		t.Logf("%s: %+v", name, servers)
		if servers != want {
			t.Errorf("%s: %+v, want %+v", name, servers, want)
		}
	}
}

//go:build linux

package probe_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

func TestMain(m *testing.M) {
	lab.Act() // the stories below have actors: processes that run this binary
	// Most stories wait for TCP's timers most of the time.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// A verdict counts ends of connections by what was said of their processes.
type verdict struct{ right, wrong, unknown int }

func (v verdict) String() string {
	return fmt.Sprintf("%d right, %d wrong, %d unknown", v.right, v.wrong, v.unknown)
}

// judge compares a process with the truth's, and the evidence with what it
// should be.
func (v *verdict) judge(t *testing.T, who string, got conn.Owner, pid int, comm string, via conn.Via) {
	t.Helper()
	switch {
	case !got.Known():
		v.unknown++
	case got.Task.PID == uint32(pid) && got.Via == via && (comm == "" || commOf(got) == comm):
		v.right++
	default:
		v.wrong++
		if v.wrong <= 5 {
			t.Errorf("%s: process %d (%s) by %v, want %d (%s) by %v", who, got.Task.PID, commOf(got), got.Via, pid, comm, via)
		}
	}
}

func commOf(o conn.Owner) string { return strings.TrimRight(string(o.Task.Comm[:]), "\x00") }

// Evidence says what a way of tracing can know of who owns a server's end.
type evidence func(*lab.TruthConn) (pid int, comm string, via conn.Via)

// byAccept: accept() itself is seen.
func byAccept(c *lab.TruthConn) (int, string, conn.Via) {
	return c.AccepterPID, c.AccepterComm, conn.ViaAccept
}

// byRead: the first to read is seen, and who closes if nobody reads.
func byRead(c *lab.TruthConn) (int, string, conn.Via) {
	switch {
	case c.ReaderPID == 0:
		return c.ServerCloserPID, "", conn.ViaClose
	case c.ReaderPID == c.AccepterPID:
		return c.ReaderPID, c.AccepterComm, conn.ViaIO
	}
	return c.ReaderPID, "", conn.ViaIO
}

// byClose: who closes is all that is seen.
func byClose(c *lab.TruthConn) (int, string, conn.Via) { return c.ServerCloserPID, "", conn.ViaClose }

// checkProcesses compares who opened, owns and closed each connection, and who
// listened, with the truth: all must be known, and right.
func checkProcesses(t *testing.T, truth *lab.Truth, seen *sighting, know evidence) {
	t.Helper()
	var opened, owned, closed, listened verdict
	ends := 0
	for i := range truth.Conns {
		c := &truth.Conns[i]
		if l := seen.end(t, c.ClientNetNS, c.ClientCookie, c.Client, c.Server); l != nil {
			opened.judge(t, "opener", l.conn.Owner, c.ClientPID, c.ClientComm, conn.ViaConnect)
			if c.ClientCloserPID != 0 {
				closed.judge(t, "client's closer", l.conn.Closer, c.ClientCloserPID, c.ClientComm, conn.ViaClose)
				ends++
			}
		}
		if l := seen.end(t, c.ServerNetNS, c.ServerCookie, c.Server, c.Client); l != nil {
			pid, comm, via := know(c)
			owned.judge(t, "owner", l.conn.Owner, pid, comm, via)
			closed.judge(t, "server's closer", l.conn.Closer, c.ServerCloserPID, "", conn.ViaClose)
			ends++
		}
	}
	for _, k := range truth.Listeners {
		for _, l := range seen.lives {
			if l.conn.ID.Cookie == uint64(k.Cookie) {
				listened.judge(t, "listener", l.conn.Owner, k.PID, "", conn.ViaListen)
			}
		}
	}
	t.Logf("%s: opened %v; owned %v; closed %v; listened %v", truth.Story, opened, owned, closed, listened)
	n := len(truth.Conns)
	for _, v := range []struct {
		got  verdict
		want int
	}{{opened, n}, {owned, n}, {closed, ends}, {listened, len(truth.Listeners)}} {
		if v.got != (verdict{right: v.want}) {
			t.Errorf("%v, want %d right", v.got, v.want)
		}
	}
}

// ways are the networks and families that the tests below play on: each of both.
var ways = []lab.Params{{Network: lab.Loopback}, {Network: lab.Veth, IPv6: true}}

// Stories about owners, and how many connections of each are enough: a process
// for each takes its time. The race detector sees the first three.
var owners = []struct {
	story string
	n     int
}{
	{"prefork", 1009}, {"reuseport", 1009}, {"http", 1009}, {"threads", 211}, {"goroutines", 211}, {"fd-passing", 211},
	{"fork-handover", 101}, {"io-uring-accept", 211}, {"writes-first", 211}, {"process-exit", 211}, {"process-killed", 211},
}

func eachOwnerStory(t *testing.T, ways []lab.Params, run func(t *testing.T, story string, params lab.Params)) {
	for _, o := range lab.Sample(3, owners) {
		t.Run(o.story, func(t *testing.T) {
			if o.story == "io-uring-accept" {
				needRing(t)
			}
			for _, params := range ways {
				t.Run(string(params.Network), func(t *testing.T) {
					if params.N = o.n; testing.Short() {
						params.N = min(o.n, 53)
					}
					run(t, o.story, params)
				})
			}
		})
	}
}

// needRing skips a test only where this kernel is known to forbid io_uring.
func needRing(t *testing.T) {
	t.Helper()
	story, err := lab.Lookup("io-uring-accept")
	if err != nil {
		t.Fatal(err)
	}
	if err := story.Check(lab.Params{}); errors.Is(err, lab.ErrNoURing) {
		t.Skip(err)
	}
}

// seesAccept says whether a source with these options sees accept() itself, and
// how: at the kernel's own function, or at the system calls.
func seesAccept(t *testing.T, options probe.Options) (exact, byFunction bool) {
	t.Helper()
	options.NoSweep = true
	source, err := open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	for _, c := range source.Capabilities() {
		if c.Name == "accept()" {
			return c.Grade == probe.Exact, strings.HasPrefix(c.Hook, "fexit/")
		}
	}
	t.Fatal("no capability is called accept()")
	return false, false
}

// Sweeps are left out of these tests: one that runs by chance may find a process
// before it is seen to act.

// As the kernel's tracepoints allow it: who reads first owns, or who closes if
// nobody reads. None is unknown in the end, none wrong.
func TestLive_Owners(t *testing.T) {
	exact, _ := seesAccept(t, probe.Options{})
	eachOwnerStory(t, ways, func(t *testing.T, story string, params lab.Params) {
		truth, seen := watch(t, story, params, probe.Options{NoSweep: true})
		compare(t, truth, seen)
		know := evidence(byRead)
		if exact {
			know = byAccept
		}
		checkProcesses(t, truth, seen, know)
	})
}

// With accept() itself in sight, who accepts owns, whoever reads and closes.
// The system calls' tracepoints do not see io_uring: there it is as without.
func TestLive_Owners_ExactAccept(t *testing.T) {
	options := probe.Options{ExactAccept: true, NoSweep: true}
	exact, byFunction := seesAccept(t, options)
	if !exact {
		t.Fatal("accept() is not seen, though it was asked for")
	}
	eachOwnerStory(t, ways, func(t *testing.T, story string, params lab.Params) {
		truth, seen := watch(t, story, params, options)
		compare(t, truth, seen)
		know := evidence(byAccept)
		if story == "io-uring-accept" && !byFunction {
			know = byRead
		}
		checkProcesses(t, truth, seen, know)
	})
}

// Without these hooks, who closes owns: late, but never wrong.
func TestLive_Owners_WithoutHooks(t *testing.T) {
	eachOwnerStory(t, ways[:1], func(t *testing.T, story string, params lab.Params) {
		params.N = min(params.N, 101)
		truth, seen := watch(t, story, params, probe.Options{NoOwners: true, NoSweep: true})
		compare(t, truth, seen)
		checkProcesses(t, truth, seen, byClose)
	})
}

// What is still open when a process is asked for: the accepter of a connection
// that it has only written to is known where accept() is seen, and else unknown.
func TestLive_Owners_BeforeTheEnd(t *testing.T) {
	for name, options := range map[string]probe.Options{
		"default": {NoSweep: true}, "exact accept": {ExactAccept: true, NoSweep: true}, "without hooks": {NoOwners: true, NoSweep: true},
	} {
		t.Run(name, func(t *testing.T) {
			exact := false
			if !options.NoOwners {
				exact, _ = seesAccept(t, options)
			}
			families(t, func(t *testing.T, params lab.Params) {
				params.N = 211
				owned := ownersWhileOpen(t, params, options)
				want := verdict{unknown: params.N}
				if exact {
					want = verdict{right: params.N}
				}
				if owned != want {
					t.Errorf("while all are open: %v, want %v", owned, want)
				}
			})
		})
	}
}

// ownersWhileOpen plays writes-first, and judges the owners before the end.
func ownersWhileOpen(t *testing.T, params lab.Params, options probe.Options) (owned verdict) {
	t.Helper()
	var tr *tracing
	params.Ready = func(netns []uint32) (err error) {
		options.Filter.NetNS = netns
		tr, err = startTracing(t, options)
		return err
	}
	params.Held = func(truth *lab.Truth) error {
		owned = verdict{}
		tr.look(func() {
			for i := range truth.Conns {
				c := &truth.Conns[i]
				if l := tr.seen.end(t, c.ServerNetNS, c.ServerCookie, c.Server, c.Client); l != nil {
					owned.judge(t, "owner", l.conn.Owner, c.AccepterPID, c.AccepterComm, conn.ViaAccept)
				}
			}
		})
		return nil
	}
	lab.Unshielded(t.Logf, func() {
		play(t, "writes-first", params)
		tr.end()
	})
	return owned
}

func play(t *testing.T, name string, params lab.Params) *lab.Truth {
	t.Helper()
	story, err := lab.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	truth, err := story.Run(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	return truth
}

// The trace begins in the middle of connections that are open: a sweep finds
// each with its process, and later its end is seen, once.
func TestLive_MidTrace(t *testing.T) {
	for _, params := range ways {
		t.Run(string(params.Network), func(t *testing.T) {
			truth, seen := joined(t, params, func(truth *lab.Truth, tr *tracing) {
				tr.swept(truth.Inodes())
				tr.look(func() { checkFound(t, truth, &tr.seen) })
			})
			checkOlder(t, truth, seen, conn.ViaSnapshot)
		})
	}
}

// The same, but nobody waits for the sweep: connections end while it runs.
func TestLive_MidTrace_ClosedDuringTheSweep(t *testing.T) {
	families(t, func(t *testing.T, params lab.Params) {
		truth, seen := joined(t, params, func(*lab.Truth, *tracing) {})
		checkOlder(t, truth, seen, conn.ViaUnknown)
	})
}

// joined begins to trace amid the story idle, whose connections end once begun
// returns. The ring holds all of its events: these tests are about order and
// owners, whatever else the machine does.
func joined(t *testing.T, params lab.Params, begun func(*lab.Truth, *tracing)) (truth *lab.Truth, seen *sighting) {
	t.Helper()
	params.Hold = 1 // no longer than begun takes
	if testing.Short() || params.IPv6 {
		params.N = few
	}
	var tr *tracing
	params.Held = func(truth *lab.Truth) (err error) {
		tr, err = startTracing(t, probe.Options{Filter: filter.Filter{NetNS: truth.Inodes()}, RingBytes: 64 << 20})
		if err == nil {
			begun(truth, tr)
		}
		return err
	}
	plays := 0
	lab.Unshielded(t.Logf, func() {
		if plays++; plays > patience {
			params.N = few
		}
		truth = play(t, "idle", params)
		seen = tr.end()
	})
	return truth, seen
}

// checkFound looks at connections older than the trace that are still open.
func checkFound(t *testing.T, truth *lab.Truth, seen *sighting) {
	t.Helper()
	var owned verdict
	lives := byCookie(seen)
	for i := range truth.Conns {
		c := &truth.Conns[i]
		for _, end := range endsOf(c) {
			l := lives[end.id]
			if l == nil {
				t.Errorf("%v, cookie %v: not found", c.Client, end.id.Cookie)
				continue
			}
			owned.judge(t, "owner", l.conn.Owner, end.owner, end.comm, conn.ViaSnapshot)
			if l.conn.State != tcp.Established || l.conn.Complete || l.conn.SinceKnown || l.conn.Role != end.role {
				t.Errorf("%v: %v, role %v, complete %v, begin known %v", c.Client, l.conn.State, l.conn.Role, l.conn.Complete, l.conn.SinceKnown)
			}
		}
	}
	t.Logf("%d connections found open: %v", len(truth.Conns), owned)
	if want := 2 * len(truth.Conns); owned.right != want || len(seen.lives) != want+len(truth.Listeners) {
		t.Errorf("%v of %d; %d connections and listeners seen", owned, want, len(seen.lives))
	}
}

// checkOlder looks at connections that were older than the trace and have
// ended. via is how their owners are known, or ViaUnknown if that is by chance.
func checkOlder(t *testing.T, truth *lab.Truth, seen *sighting, via conn.Via) {
	t.Helper()
	if seen.lost != 0 || seen.illegal != 0 || seen.received != seen.sent {
		t.Errorf("%d events lost, %d illegal transitions, %d sent and %d received", seen.lost, seen.illegal, seen.sent, seen.received)
	}
	var owned, closed verdict
	lives := byCookie(seen)
	for i := range truth.Conns {
		c := &truth.Conns[i]
		for _, end := range endsOf(c) {
			l := lives[end.id]
			if l == nil {
				t.Errorf("%v, cookie %v: not seen", c.Client, end.id.Cookie)
				continue
			}
			known := via
			if via == conn.ViaUnknown {
				known = l.conn.Owner.Via
			}
			owned.judge(t, "owner", l.conn.Owner, end.owner, end.comm, known)
			closed.judge(t, "closer", l.conn.Closer, end.closer, end.comm, conn.ViaClose)
			if got := strings.Join(l.states, " "); got != end.states || l.ended != 1 || l.conn.Complete || l.conn.End != conn.EndFIN {
				t.Errorf("%v, cookie %v: %s, ended %d times by %v, complete %v", c.Client, end.id.Cookie, got, l.ended, l.conn.End, l.conn.Complete)
			}
		}
	}
	t.Logf("%d connections: owned %v; closed %v", len(truth.Conns), owned, closed)
	want := 2 * len(truth.Conns)
	if owned != (verdict{right: want}) || closed != (verdict{right: want}) {
		t.Errorf("owned %v, closed %v, want %d right", owned, closed, want)
	}
	if len(seen.lives) != want+len(truth.Listeners) {
		t.Errorf("%d connections and listeners seen, want %d", len(seen.lives), want+len(truth.Listeners))
	}
}

// byCookie finds the lives of many sockets.
func byCookie(seen *sighting) map[event.ID]*life {
	lives := make(map[event.ID]*life, len(seen.lives))
	for _, l := range seen.lives {
		lives[l.conn.ID] = l
	}
	return lives
}

// An end is one side of a connection of the story idle.
type end struct {
	id            event.ID
	role          conn.Role
	owner, closer int
	comm          string
	states        string // of its time under the trace
}

func endsOf(c *lab.TruthConn) [2]end {
	return [2]end{{
		event.ID{NetNS: c.ClientNetNS, Cookie: uint64(c.ClientCookie)}, conn.RoleUnknown,
		c.ClientPID, c.ClientCloserPID, c.ClientComm, "ESTABLISHED FIN_WAIT1 FIN_WAIT2 TIME_WAIT CLOSE",
	}, {
		event.ID{NetNS: c.ServerNetNS, Cookie: uint64(c.ServerCookie)}, conn.Server,
		c.AccepterPID, c.ServerCloserPID, c.AccepterComm, "ESTABLISHED CLOSE_WAIT LAST_ACK CLOSE",
	}}
}

// A tracing is a live source, and the tracker behind it, that can be looked at
// while it runs.
type tracing struct {
	t       *testing.T
	source  *probe.Source
	cancel  context.CancelFunc
	done    chan error
	batched *sync.Cond // guards what follows; signals the end of a batch
	watcher
	sweeps       map[uint32]bool
	batch, older time.Time // ends of the last two batches
}

func startTracing(t *testing.T, options probe.Options) (*tracing, error) {
	tr := &tracing{
		t: t, done: make(chan error, 1), batched: sync.NewCond(&sync.Mutex{}), sweeps: map[uint32]bool{},
		watcher: watcher{
			tracker: conn.New(conn.Options{}), seen: sighting{transitions: map[lab.Transition]int{}},
			byConn: map[*conn.Connection]*life{},
		},
	}
	options.OnBatch = func() {
		tr.batched.L.Lock()
		defer tr.batched.L.Unlock()
		tr.batch, tr.older = time.Now(), tr.batch
		tr.batched.Broadcast()
	}
	var err error
	if tr.source, err = open(options); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(t.Context())
	tr.cancel = cancel
	go func() { tr.done <- tr.source.Run(ctx, tr.take) }()
	return tr, nil
}

func (tr *tracing) take(ev *event.Event) {
	tr.batched.L.Lock()
	defer tr.batched.L.Unlock()
	if ev.Kind == event.Swept {
		tr.sweeps[ev.ID.NetNS] = true
	}
	tr.handle(ev)
}

// look calls f when all that has happened so far has been handed over: a batch
// that began later than the time that an event may be on its way is over.
func (tr *tracing) look(f func()) {
	const underWay = 2 * time.Millisecond
	tr.batched.L.Lock()
	defer tr.batched.L.Unlock()
	for since := time.Now().Add(underWay); !tr.older.After(since); {
		tr.batched.Wait()
	}
	f()
}

// swept returns when the namespaces have been swept.
func (tr *tracing) swept(netns []uint32) {
	tr.batched.L.Lock()
	defer tr.batched.L.Unlock()
	for _, ns := range netns {
		for !tr.sweeps[ns] {
			tr.batched.Wait()
		}
	}
}

func (tr *tracing) end() *sighting {
	tr.t.Helper()
	tr.cancel()
	if err := <-tr.done; err != nil {
		tr.t.Fatal(err)
	}
	for _, tally := range tr.source.Tally() {
		tr.seen.sent += tally.Sent
	}
	if err := tr.source.Close(); err != nil {
		tr.t.Fatal(err)
	}
	tr.tracker.Finish(tr.last, tr.change)
	return &tr.seen
}

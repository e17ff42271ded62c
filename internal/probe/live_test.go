//go:build linux

package probe_test

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A life is what was said of one connection, in the order of saying.
type life struct {
	conn   *conn.Connection
	states []string // first to last
	stays  map[string]time.Duration
	ended  int
	causes []string

	portless int           // transitions told without the local port
	unsure   int           // transitions that do not say how long the state before lasted
	total    time.Duration // of the others

	episodes []*conn.LossEpisode
}

// A sighting is all that was said of a story's namespaces.
type sighting struct {
	lives       []*life
	indexed     map[place][]*life // of the first atIndex lives
	atIndex     int
	transitions map[lab.Transition]int
	illegal     int
	lost        uint64
	received    uint64 // events
	sent        uint64 // that the kernel side says to have sent

	// How well the source sees the FIN that ends an orphan's FIN_WAIT2; a Grade
	// of "" is not asked for.
	fin     probe.Capability
	unknown []string // what is not known for want of it

	nameless bool // no stack tells why a timewait socket ended
}

// hooks is Options.Hooks of every live test that leaves it open.
var hooks = flag.String("hooks", "", "see minisockets by fentry or by timers; the default is the best that this kernel has")

// btfFile is Options.BTF of every live test that leaves it open.
var btfFile = flag.String("btf", "", "types of the kernel that runs; the default is its own")

// slack is how far from the truth a time may seem to be on a machine whose clock
// and timers do not agree: an emulated one.
var slack = flag.Duration("slack", 0, "how far from the truth a time may seem to be")

// open is probe.Open with the hooks that the tests are to use.
func open(options probe.Options) (*probe.Source, error) {
	if options.Hooks == "" {
		options.Hooks = *hooks
	}
	if options.BTF == "" {
		options.BTF = *btfFile
	}
	return probe.Open(options)
}

// watch runs the story under a live source that sees only the story's
// namespaces, and returns what the tracker made of it.
func watch(t *testing.T, name string, params lab.Params, options probe.Options) (truth *lab.Truth, seen *sighting) {
	t.Helper()
	return watchBy(t, open, name, params, options)
}

// An opener stands for probe.Open.
type opener func(probe.Options) (*probe.Source, error)

func watchBy(t *testing.T, open opener, name string, params lab.Params, options probe.Options) (truth *lab.Truth, seen *sighting) {
	t.Helper()
	// A kernel whose tracepoints are preemptible (Linux 7.0) skips a program on a
	// CPU where a task was preempted in it. Each time is counted as a loss. On an
	// emulated machine, where a program takes so long, that is often.
	story, err := lab.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	plays := 0
	for attempt := 1; ; attempt++ {
		lab.Unshielded(t.Logf, func() {
			if plays++; plays > patience && params.N == 0 {
				params.N = min(story.Count, few)
			}
			truth, seen = watchOnce(t, open, name, params, options)
		})
		if seen.lost == 0 || options.RingBytes != 0 || attempt == 5 {
			return truth, seen
		}
		t.Logf("%d events are counted as lost: once more", seen.lost)
	}
}

func watchOnce(t *testing.T, open opener, name string, params lab.Params, options probe.Options) (*lab.Truth, *sighting) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("live tests trace real sockets: run them as root")
	}
	story, err := lab.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{tracker: conn.New(conn.Options{}), seen: sighting{transitions: map[lab.Transition]int{}}, byConn: map[*conn.Connection]*life{}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	var source *probe.Source
	params.Ready = func(netns []uint32) error {
		options.Filter.NetNS = netns
		if source, err = open(options); err != nil {
			return err
		}
		go func() { done <- source.Run(ctx, w.handle) }()
		return nil
	}
	truth, err := story.Run(ctx, params)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.seen.fin = capability(source, "FIN_WAIT2 after close()")
	w.seen.nameless = capability(source, "why TIME_WAIT ended").Grade == probe.Bounded
	for _, tally := range source.Tally() {
		w.seen.sent += tally.Sent
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	w.tracker.Finish(w.last, w.change)
	return truth, &w.seen
}

func capability(source *probe.Source, name string) (found probe.Capability) {
	for _, c := range source.Capabilities() {
		if c.Name == name {
			found = c
		}
	}
	return found
}

type watcher struct {
	tracker *conn.Tracker
	last    event.Time
	seen    sighting
	byConn  map[*conn.Connection]*life
}

func (w *watcher) handle(ev *event.Event) {
	w.last = ev.Time
	switch ev.Kind {
	case event.Lost, event.Seen, event.Swept: // not of the ring
	default:
		w.seen.received++
	}
	w.tracker.Handle(ev, w.change)
}

func (w *watcher) change(c *conn.Change) {
	if c.Kind == conn.Lost {
		w.seen.lost += c.Event.Loss.Count
		return
	}
	if c.Conn == nil {
		return
	}
	l := w.byConn[c.Conn]
	if l == nil {
		l = &life{conn: c.Conn, stays: map[string]time.Duration{}}
		w.byConn[c.Conn] = l
		w.seen.lives = append(w.seen.lives, l)
	}
	switch c.Kind {
	case conn.Transition:
		w.seen.transitions[lab.Transition{Old: c.Old, New: c.New}]++
		if c.Illegal {
			w.seen.illegal++
		}
		if c.Conn.Local.Port() == 0 {
			l.portless++
		}
		if len(l.states) == 0 {
			l.states = append(l.states, c.Old.String())
			l.unsure-- // there was none before
		}
		l.states = append(l.states, c.New.String())
		if c.InStateKnown {
			l.stays[c.Old.String()] += c.InState
			l.total += c.InState
		} else {
			l.unsure++
		}
		if c.Cause != event.CauseUnknown {
			l.causes = append(l.causes, c.Cause.String())
		}
	case conn.Episode:
		l.episodes = append(l.episodes, c.Episode.Clone())
	case conn.Ended:
		l.ended++
	}
}

// A place is where a life is looked for: at a cookie or, where the truth has
// none, at its addresses.
type place struct {
	netns         uint32
	cookie        uint64
	local, remote netip.AddrPort
}

func (s *sighting) index() {
	s.atIndex = len(s.lives)
	s.indexed = make(map[place][]*life, 2*len(s.lives))
	for _, l := range s.lives {
		id := l.conn.ID
		for _, at := range []place{
			{netns: id.NetNS, cookie: id.Cookie},
			{netns: id.NetNS, local: l.conn.Local, remote: l.conn.Remote},
		} {
			s.indexed[at] = append(s.indexed[at], l)
		}
	}
}

// end picks the life of one end of a connection out of what was seen.
func (s *sighting) end(t *testing.T, netns uint32, cookie lab.Cookie, local, remote netip.AddrPort) *life {
	t.Helper()
	if s.atIndex != len(s.lives) {
		s.index()
	}
	found := s.indexed[place{netns, uint64(cookie), netip.AddrPort{}, netip.AddrPort{}}]
	if cookie == 0 {
		found = s.indexed[place{netns, 0, local, remote}]
	}
	if len(found) != 1 {
		t.Errorf("%v -> %v, cookie %v: seen as %d connections, want 1", local, remote, cookie, len(found))
		return nil
	}
	return found[0]
}

// compare holds what was seen against the truth: each life whole, and nothing
// beside them.
func compare(t *testing.T, truth *lab.Truth, seen *sighting) {
	t.Helper()
	if seen.lost != 0 || seen.illegal != 0 || seen.received != seen.sent {
		t.Errorf("%d events lost, %d illegal transitions, %d sent and %d received", seen.lost, seen.illegal, seen.sent, seen.received)
	}
	lives := len(truth.Listeners)
	for _, c := range truth.Conns {
		var client, server *life
		if len(c.ClientStates) > 0 {
			lives++
			client = seen.end(t, c.ClientNetNS, c.ClientCookie, c.Client, c.Server)
			compareEnd(t, seen, client, conn.Client, c.ClientStates, c.ClientStays, c.ClientEnd, c.TimeWaitCause)
		}
		if len(c.ServerStates) > 0 {
			lives++
			server = seen.end(t, c.ServerNetNS, c.ServerCookie, c.Server, c.Client)
			role := conn.Server
			if slices.Contains(c.ServerStates, "SYN_SENT") {
				role = conn.Client // a simultaneous open has two
			}
			compareEnd(t, seen, server, role, c.ServerStates, c.ServerStays, c.ServerEnd, c.TimeWaitCause)
		}
		compareNumbers(t, client, server)
	}
	if got := seen.during(truth); got != lives {
		t.Errorf("%d connections and listeners seen, want %d", got, lives)
	}
	if len(seen.unknown) > 0 && !t.Failed() {
		t.Skipf("%d ends are all right but for the lengths of FIN_WAIT2 and TIME_WAIT, which this kernel does not tell: %s", len(seen.unknown), seen.fin.Why)
	}
}

// during counts the lives of the story's namespaces. The kernel may give the
// inode of one that is gone to the next, which another test makes: what begins
// when all of the story's sockets have ended is not the story's.
func (s *sighting) during(truth *lab.Truth) (count int) {
	theirs := make(map[uint64]bool, 2*len(truth.Conns))
	for _, c := range truth.Conns {
		theirs[uint64(c.ClientCookie)], theirs[uint64(c.ServerCookie)] = true, true
	}
	var end event.Time
	for _, l := range s.lives {
		if theirs[l.conn.ID.Cookie] {
			end = max(end, l.conn.Closed)
		}
	}
	for _, l := range s.lives {
		if end == 0 || l.conn.Opened <= end {
			count++
		}
	}
	return count
}

func compareEnd(t *testing.T, seen *sighting, l *life, role conn.Role, states []string, stays []lab.Stay, end, cause string) {
	t.Helper()
	if l == nil {
		return
	}
	c := l.conn
	who := fmt.Sprintf("%v %v -> %v", role, c.Local, c.Remote)
	if got, want := strings.Join(l.states, " "), strings.Join(states, " "); got != want {
		t.Errorf("%s:\n got %s\nwant %s", who, got, want)
	}
	if c.Role != role || !c.Complete || l.ended != 1 {
		t.Errorf("%s: role %v, complete %v, ended %d times", who, c.Role, c.Complete, l.ended)
	}
	if l.portless > 0 && c.End != conn.EndUnsent {
		t.Errorf("%s: %d transitions were told without its port", who, l.portless)
	}
	// From the first SYN on, whose wait for an answer is part of a life.
	if life := c.Closed.Sub(c.Opened); l.unsure == 0 && life != l.total {
		t.Errorf("%s: it lived for %v, and its states lasted %v", who, life, l.total)
	}
	if end != "" && c.End.String() != end {
		t.Errorf("%s: end %q, want %q", who, c.End, end)
	}
	if hasMinisocket(states) && cause != "" {
		want := []string{cause}
		if seen.nameless && cause != event.CauseExpired.String() && cause != event.CauseOverflow.String() && cause != event.CauseNetnsExit.String() {
			want = nil
		}
		if !slices.Equal(l.causes, want) {
			t.Errorf("%s: causes %q, want %q", who, l.causes, want)
		}
	}
	for _, stay := range stays {
		// An orphan whose FIN was not seen has both states, of unknown length.
		apart := stay.State != tcp.FinWait2.String() && stay.State != tcp.TimeWait.String()
		if _, told := l.stays[stay.State]; !told && !apart && seen.fin.Grade == probe.Bounded {
			seen.unknown = append(seen.unknown, who)
			continue
		}
		if got := l.stays[stay.State]; got < stay.Min-*slack || got > stay.Max+*slack {
			t.Errorf("%s: %v in %s, want %v to %v", who, got, stay.State, stay.Min, stay.Max)
		}
	}
}

// compareNumbers holds the initial sequence numbers of two ends against each
// other: what one has sent, the other has received.
func compareNumbers(t *testing.T, ends ...*life) {
	t.Helper()
	for _, l := range ends {
		if l == nil {
			return
		}
	}
	one, other := ends[0].conn.ISNs, ends[1].conn.ISNs
	open := slices.Contains(ends[0].states, tcp.Established.String())
	if !one.Sent.Known || one.Sent != other.Received || open != one.Received.Known || open && one.Received != other.Sent {
		t.Errorf("%v -> %v: the initial sequence numbers are %+v and %+v", ends[0].conn.Local, ends[0].conn.Remote, one, other)
	}
}

// hasMinisocket reports whether an end with these states is the one that the
// truth's TimeWaitCause speaks of.
func hasMinisocket(states []string) bool {
	return slices.Contains(states, tcp.TimeWait.String())
}

// paths spells the states of a story's two ends.
func paths(t *testing.T, name string) (client, server string) {
	t.Helper()
	story, err := lab.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(story.ClientStates(), " "), strings.Join(story.ServerStates(), " ")
}

func families(t *testing.T, run func(*testing.T, lab.Params)) {
	for _, ipv6 := range lab.Sample(1, []bool{false, true}) {
		name := "ipv4"
		if ipv6 {
			name = "ipv6"
		}
		t.Run(name, func(t *testing.T) { run(t, lab.Params{IPv6: ipv6}) })
	}
}

// raced are the stories that the race detector sees here: all of them take the
// same way through the source.
var raced = []string{"client-close", "half-close", "time-wait-reuse-syn", "syn-flood", "idle"}

// Every story of the lab, whole: both ends, both families, each state in its
// order, with the durations, causes and ends that the story forces.
func TestLive_Stories(t *testing.T) {
	for _, story := range lab.Stories() {
		if story.Name == "churn" || story.Name == "crowd" || lab.Raced() && !slices.Contains(raced, story.Name) {
			continue
		}
		t.Run(story.Name, func(t *testing.T) {
			if story.Takes > 30*time.Second && testing.Short() {
				t.Skipf("it takes %v", story.Takes)
			}
			t.Parallel()
			families(t, func(t *testing.T, params lab.Params) {
				t.Parallel()
				if testing.Short() || params.IPv6 {
					params.N = min(story.Count, few)
				}
				truth, seen := watch(t, story.Name, params, probe.Options{})
				compare(t, truth, seen)
			})
		})
	}
}

const (
	// few is how many connections a story has where there is little time.
	few = 1009
	// patience is how often a story of many connections is played whole, before
	// it gets few: the more packets in a burst, the more process 1 handles.
	patience = 3
)

// Others may trace the same tracepoints: that makes the stacks deeper from which
// the causes are read.
func TestLive_Causes_BesideOtherTracers(t *testing.T) {
	for range 3 {
		other, err := open(probe.Options{RingBytes: os.Getpagesize(), NoSweep: true})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
	}
	for _, story := range []string{"time-wait-reset", "time-wait-reuse-connect", "time-wait-reuse-syn", "orphan-fin-wait2-fin"} {
		t.Run(story, func(t *testing.T) {
			truth, seen := watch(t, story, lab.Params{}, probe.Options{})
			compare(t, truth, seen)
		})
	}
}

// A ring too small for a flood loses events; each of them is counted.
func TestLive_TinyRing_ReceivedAndLostAreWhatWasSent(t *testing.T) {
	families(t, func(t *testing.T, params lab.Params) {
		seen := floodTiny(t, params, 1)
		client, server := paths(t, "churn")
		const listener = "CLOSE LISTEN CLOSE" // all of what is lost may be at the end
		for _, l := range seen.lives {
			states := strings.Join(l.states, " ")
			if l.conn.Complete && states != client && states != server && states != listener {
				t.Fatalf("%v -> %v is said to be complete: %s", l.conn.Local, l.conn.Remote, states)
			}
		}
	})
}

// So do several, and each goes on when it has been read.
func TestLive_TinyRings_ReceivedAndLostAreWhatWasSent(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("each ring needs a processor")
	}
	seen := floodTiny(t, lab.Params{}, 2)
	const least = 64 + 8 // bytes of a record
	if once := uint64(2 * os.Getpagesize() / least); seen.received < 10*once {
		t.Errorf("%d events received: the rings hold %d", seen.received, once)
	}
}

// floodTiny has a flood meet rings of a page each.
func floodTiny(t *testing.T, params lab.Params, rings int) *sighting {
	t.Helper()
	params.Duration = time.Second
	_, seen := watch(t, "churn", params, probe.Options{
		Rings: rings, RingBytes: rings * os.Getpagesize(), Poll: 200 * time.Millisecond, Filter: filter.Filter{},
	})
	if seen.lost == 0 {
		t.Fatal("nothing was lost: the test shows nothing")
	}
	if seen.received+seen.lost != seen.sent {
		t.Errorf("%d received + %d lost, %d sent", seen.received, seen.lost, seen.sent)
	}
	return seen
}

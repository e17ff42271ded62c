//go:build linux

package probe_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/lab"
	"github.com/tcptrace/tcptrace/internal/probe"
)

// A saidReset is what was said of one RST, or must be.
type saidReset struct {
	Direction     string
	NetNS         uint32
	Local, Remote netip.AddrPort
	Cause         string
	Inferred      bool
	Actor         int  // PID of the process that caused it
	PeerKnown     bool // the other end is on this host and was found
}

func (r saidReset) String() string {
	return fmt.Sprintf("%s %v -> %v %s inferred=%v actor=%d peer=%v", r.Direction, r.Local, r.Remote, r.Cause, r.Inferred, r.Actor, r.PeerKnown)
}

// resetsSeen is all that was said of the RSTs of a story's namespaces.
type resetsSeen struct {
	tracker *conn.Tracker
	last    event.Time
	resets  []saidReset
	ends    map[[2]netip.AddrPort]string // the cause at the end of the connection from and to
	lost    uint64
	reasons bool // the kernel gives them
	why     *diagnose.Engine
}

func (s *resetsSeen) change(c *conn.Change) {
	s.why.Handle(c)
	r := saidReset{Cause: c.Reset.Cause.String(), Inferred: c.Reset.Inferred, PeerKnown: c.Reset.PeerKnown}
	switch c.Kind {
	case conn.Lost:
		s.lost += c.Event.Loss.Count
		return
	case conn.Ended:
		s.ends[[2]netip.AddrPort{c.Conn.Local, c.Conn.Remote}] = c.Conn.ResetCause.String()
		return
	case conn.ResetSent:
		r.Direction, r.Actor = "sent", int(c.Task.PID)
	case conn.ResetReceived:
		r.Direction, r.Actor = "received", int(c.Reset.PeerActor.PID)
	default:
		return
	}
	r.NetNS, r.Local, r.Remote = c.Event.ID.NetNS, c.Event.Local, c.Event.Remote
	if c.Conn != nil && !c.Conn.Listener() {
		r.NetNS, r.Local, r.Remote = c.Conn.ID.NetNS, c.Conn.Local, c.Conn.Remote
	}
	s.resets = append(s.resets, r)
}

func newResetsSeen() *resetsSeen {
	return &resetsSeen{
		tracker: conn.New(conn.Options{}), ends: map[[2]netip.AddrPort]string{}, why: diagnose.New(diagnose.Options{}),
	}
}

func (s *resetsSeen) handle(ev *event.Event) {
	s.last = ev.Time
	s.tracker.Handle(ev, s.change)
}

// watchResets plays a story, and returns what is said of its RSTs, what would be
// on a kernel that gives no reason for them, and what on one that besides does
// not tell of those that no socket sends, as Linux 5.10 and 6.1.
func watchResets(t *testing.T, story lab.Story, params lab.Params) (truth *lab.Truth, seen, without, old *resetsSeen) {
	t.Helper()
	seen, without, old = newResetsSeen(), newResetsSeen(), newResetsSeen()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	var source *probe.Source
	params.Ready = func(netns []uint32) (err error) {
		options := probe.Options{}
		options.Filter.NetNS = netns
		if source, err = open(options); err != nil {
			return err
		}
		go func() {
			done <- source.Run(ctx, func(ev *event.Event) {
				copied := *ev
				seen.handle(ev)
				if copied.Kind == event.ResetSent {
					copied.Reason = ""
				}
				without.handle(&copied)
				if f := copied.Reset; copied.Kind != event.ResetSent || f.Socket || f.Listener || f.Request || f.TimeWait {
					old.handle(&copied)
				}
			})
		}()
		return nil
	}
	var err error
	if truth, err = story.Run(ctx, params); err != nil {
		t.Fatal(err)
	}
	for i := range truth.Conns {
		if c := &truth.Conns[i]; c.Resets == nil {
			c.Resets = otherResets[truth.Story]
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	seen.reasons = capability(source, "why a reset was sent").Grade == probe.Exact
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*resetsSeen{seen, without, old} {
		s.tracker.Finish(s.last, s.change)
	}
	return truth, seen, without, old
}

// resetsOf returns what must be said of the RSTs of one connection.
func resetsOf(story string, c *lab.TruthConn) (want []saidReset) {
	for _, r := range c.Resets {
		sent := saidReset{
			Direction: "sent", NetNS: c.ClientNetNS, Local: c.Client, Remote: c.Server,
			Cause: r.Cause, Actor: r.PID, PeerKnown: true,
		}
		got := saidReset{
			Direction: "received", NetNS: c.ServerNetNS, Local: c.Server, Remote: c.Client,
			Cause: r.Cause, Actor: r.PID, PeerKnown: true,
		}
		if r.From != "client" {
			sent, got = got, sent
			sent.Direction, got.Direction = "sent", "received"
		}
		// What cannot be known for sure: a RST that no TCP of this host sent,
		// and what became of a handshake whose listener is gone.
		sent.Inferred = story == "reset-listener-handshake"
		got.Inferred = sent.Inferred || r.From == ""
		got.PeerKnown = story != "reset-reject"
		// The SYN comes after it; the client's port is not known yet.
		sent.PeerKnown = story != "reset-bad-ack" && r.Cause != "connect-refused"
		if r.From != "" {
			want = append(want, sent)
		}
		if !r.Lost {
			want = append(want, got)
		}
	}
	return want
}

// endCause returns the cause that an end's connection must be said to have
// ended by: the end is "client" or "server", and end a word of conn.End.
func endCause(c *lab.TruthConn, who, end string) string {
	for _, r := range c.Resets {
		switch {
		case end == "reset_received" || end == "refused":
			if r.From != who && !r.Lost {
				return r.Cause
			}
		case end == "reset_sent" || end == "aborted" || end == "timeout":
			if r.From == who {
				return r.Cause
			}
		}
	}
	return ""
}

// otherResets are the RSTs of stories about something else.
var otherResets = map[string][]lab.TruthReset{
	"refused":            {{From: "server", Cause: "connect-refused"}},
	"orphan-fin-wait2":   {{From: "client", Cause: "reset-after-close"}},
	"reset-in-handshake": {{From: "client", Cause: "reset-after-close", Lost: true}},
	"time-wait-reset":    {{From: "server", Cause: "reset-after-close", Lost: true}},
}

// compare holds what was said against the truth. On a kernel without reasons,
// everything is inferred.
func (s *resetsSeen) compare(t *testing.T, truth *lab.Truth, reasons bool) {
	t.Helper()
	if s.lost != 0 {
		t.Errorf("%d events lost", s.lost)
	}
	var want []saidReset
	var missing []string
	for i := range truth.Conns {
		c := &truth.Conns[i]
		want = append(want, resetsOf(truth.Story, c)...)
		for who, end := range map[string]struct {
			states        []string
			local, remote netip.AddrPort
			end           string
		}{"client": {c.ClientStates, c.Client, c.Server, c.ClientEnd}, "server": {c.ServerStates, c.Server, c.Client, c.ServerEnd}} {
			if end.states == nil || end.end == "" {
				continue
			}
			if got, want := s.ends[[2]netip.AddrPort{end.local, end.remote}], endCause(c, who, end.end); got != want {
				t.Errorf("with reasons %v: %v: the %s's connection ended by %q, want %q", reasons, c.Client, who, got, want)
			}
		}
	}
	said := map[saidReset]int{}
	for _, r := range want {
		r.Inferred = r.Inferred || !reasons
		said[r]--
	}
	for _, r := range s.resets {
		if r.Direction == "sent" && (r.Cause == "connect-refused" || r.Cause == "bad-segment") {
			// Whether the client's port, or the server's request, is known
			// by then is left to chance.
			r.PeerKnown = false
		}
		said[r]++
	}
	const enough = 6 // lines of what differs
	for r, n := range said {
		if n != 0 && len(missing) < enough {
			missing = append(missing, fmt.Sprintf("%+d %v", n, r))
		}
	}
	slices.Sort(missing)
	if len(missing) > 0 {
		t.Errorf("with reasons %v: %d RSTs said, want %d: more (+) or less (-) often said than told:\n%s",
			reasons, len(s.resets), len(want), strings.Join(missing, "\n"))
	}
}

// accuse holds what was said without all that is needed against the truth: less
// may be known, but what is said is so, and each RST that arrived is told.
func (s *resetsSeen) accuse(t *testing.T, truth *lab.Truth) {
	t.Helper()
	if s.lost != 0 {
		t.Errorf("as Linux 5.10: %d events lost", s.lost)
	}
	causes := map[netip.AddrPort][]string{} // by the client
	arrived := 0
	for i := range truth.Conns {
		for _, r := range resetsOf(truth.Story, &truth.Conns[i]) {
			causes[truth.Conns[i].Client] = append(causes[truth.Conns[i].Client], r.Cause)
			if r.Direction == "received" {
				arrived++
			}
		}
	}
	for _, r := range s.resets {
		if r.Direction == "received" {
			arrived--
		}
		client := r.Local
		if causes[client] == nil {
			client = r.Remote
		}
		if r.Cause != "reset-by-peer" && !slices.Contains(causes[client], r.Cause) {
			t.Errorf("as Linux 5.10: %v, want one of %q", r, causes[client])
		}
	}
	if arrived != 0 {
		t.Errorf("as Linux 5.10: %d RSTs arrived that were not told", arrived)
	}
}

// accuseHost holds what is found to be wrong against the truth: once, at the process
// whose connections met the host's limit.
func (s *resetsSeen) accuseHost(t *testing.T, truth *lab.Truth) {
	t.Helper()
	var said []string
	for _, f := range s.why.Findings() {
		if f.Rule.Name == "reset-aborted" {
			said = append(said, fmt.Sprint(f.ID, " ", f.Count))
		}
	}
	want := []string{fmt.Sprintf("reset-aborted:pid=%d:%s %d", truth.Conns[0].ClientPID, strings.TrimPrefix(truth.Story, "reset-"), len(truth.Conns))}
	if !slices.Equal(said, want) {
		t.Errorf("found %q, want %q", said, want)
	}
}

// table adds up what was said, a line for each different thing.
func (s *resetsSeen) table(story string) (lines []string) {
	count := map[string]int{}
	for _, r := range s.resets {
		inferred := ""
		if r.Inferred {
			inferred = " (inferred)"
		}
		count[fmt.Sprintf("%-26s %-8s %s%s", story, r.Direction, r.Cause, inferred)]++
	}
	for line, n := range count {
		lines = append(lines, fmt.Sprintf("%s x %d", line, n))
	}
	slices.Sort(lines)
	return lines
}

// storiesOfResets are those in which a RST is sent.
func storiesOfResets() (stories []lab.Story) {
	for _, story := range lab.Stories() {
		if _, other := otherResets[story.Name]; other || strings.HasPrefix(story.Name, "reset-") {
			stories = append(stories, story)
		}
	}
	return stories
}

// TestLive_ResetCauses: each story's RSTs, sent and received, have the cause
// that the story gave them, name the process that did it and the other end, and
// there are no others.
func TestLive_ResetCauses(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("live tests trace real sockets: run them as root")
	}
	var table []string
	var all sync.Mutex // guards it
	t.Cleanup(func() { t.Logf("what was said of 23 connections each:\n%s", strings.Join(table, "\n")) })
	for _, story := range lab.Sample(4, storiesOfResets()) {
		for _, ipv6 := range lab.Sample(1, []bool{false, true}) {
			name := fmt.Sprintf("%s/%s", story.Name, map[bool]string{false: "ipv4", true: "ipv6"}[ipv6])
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				for i, network := range story.Networks {
					if i > 0 && (ipv6 || testing.Short()) {
						break
					}
					params := lab.Params{IPv6: ipv6, Network: network}
					if i > 0 {
						params.N = 3
					}
					said := checkResets(t, story, params)
					if i == 0 && !ipv6 {
						all.Lock()
						table = append(table, said...)
						all.Unlock()
					}
				}
			})
		}
	}
}

// checkResets holds what is said of a story's RSTs, and returns it.
func checkResets(t *testing.T, story lab.Story, params lab.Params) (table []string) {
	t.Helper()
	var truth *lab.Truth
	var seen, without, old *resetsSeen
	lab.Unshielded(t.Logf, func() { truth, seen, without, old = watchResets(t, story, params) })
	if !seen.reasons { // and then the kernel tells less of what no socket sends
		seen.accuse(t, truth)
		return nil
	}
	seen.compare(t, truth, true)
	without.compare(t, truth, false)
	old.accuse(t, truth)
	return seen.table(story.Name)
}

// The limits of orphans and of memory are the whole host's: the guests of
// cmd/testkernel may lower theirs, and a test that runs elsewhere must not.
func TestLive_ResetCauses_OfHostLimits(t *testing.T) {
	for _, name := range []string{"reset-orphan-limit", "reset-memory-limit"} {
		story, err := lab.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			if err := story.Check(lab.Params{}); errors.Is(err, lab.ErrNotOwnHost) {
				t.Skip(err)
			}
			for _, ipv6 := range []bool{false, true} {
				var truth *lab.Truth
				var seen *resetsSeen
				lab.Unshielded(t.Logf, func() { truth, seen, _, _ = watchResets(t, story, lab.Params{IPv6: ipv6}) })
				// A socket sends each, so that every kernel tells of it.
				seen.compare(t, truth, seen.reasons)
				seen.accuseHost(t, truth)
				t.Log(strings.Join(seen.table(name), "\n"))
			}
		})
	}
}

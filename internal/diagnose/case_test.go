package diagnose_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	us = time.Microsecond
	ms = time.Millisecond
	s  = time.Second
)

// A ruleCase is a story, and what a rule must find in it.
type ruleCase struct {
	name    string
	events  []event.Event
	until   time.Duration
	sysctls sysctls
	devices devices
	// want are the rule's findings, "severity count process", the worst first.
	// None: the rule must stay quiet.
	want []string
	// says are parts that the first finding's summary or cause must have.
	says []string
}

type sysctls map[string]string

func (y sysctls) Sysctl(_ uint32, name string) string { return y[name] }
func (y sysctls) Forget(uint32)                       {}

// devices are the names of those that have an address.
type devices map[string]string

func (d devices) Sysctl(uint32, string) string             { return "" }
func (d devices) Forget(uint32)                            {}
func (d devices) Device(_ uint32, local netip.Addr) string { return d[local.String()] }

// The cases of each rule stand in the test beside it.
var cases = map[string][]ruleCase{
	"close-wait-leak":           closeWaitLeakCases,
	"fin-wait2-stuck":           finWait2StuckCases,
	"fin-wait1-stuck":           finWait1StuckCases,
	"last-ack-stuck":            lastAckStuckCases,
	"closing-stuck":             closingStuckCases,
	"time-wait-pressure":        timeWaitPressureCases,
	"ephemeral-port-exhaustion": ephemeralPortExhaustionCases,
	"time-wait-overflow":        timeWaitOverflowCases,
	"fd-exhaustion":             fdExhaustionCases,
	"accept-queue-overflow":     acceptQueueOverflowCases,
	"syn-flood":                 synFloodCases,
	"connect-refused":           connectRefusedCases,
	"connect-timeout":           connectTimeoutCases,
	"connect-scan":              connectScanCases,
	"dead-peer":                 deadPeerCases,
	"reset-unread-data":         resetUnreadDataCases,
	"reset-linger":              resetLingerCases,
	"reset-after-close":         resetAfterCloseCases,
	"reset-aborted":             resetAbortedCases,
	"reset-by-peer":             resetByPeerCases,
	"retransmit-storm":          retransmitStormCases,
	"simultaneous-open":         simultaneousOpenCases,
	"simultaneous-close":        simultaneousCloseCases,
}

// specified are the names that scripts rely on, and none besides.
var specified = []string{
	"close-wait-leak", "fin-wait2-stuck", "fin-wait1-stuck", "last-ack-stuck", "closing-stuck",
	"time-wait-pressure", "ephemeral-port-exhaustion", "time-wait-overflow",
	"fd-exhaustion", "accept-queue-overflow", "syn-flood",
	"connect-refused", "connect-timeout", "connect-scan", "dead-peer",
	"reset-unread-data", "reset-linger", "reset-after-close", "reset-aborted", "reset-by-peer",
	"retransmit-storm", "simultaneous-open", "simultaneous-close",
}

// Every rule has its name, its documentation, a case in which it fires and one
// in which it is quiet.
func TestRules_Complete(t *testing.T) {
	var names []string
	for _, r := range diagnose.Rules() {
		names = append(names, r.Name)
		for what, text := range map[string]string{
			"short": r.Short, "meaning": r.Meaning, "when": r.When, "advice": r.Advice, "more": r.More,
		} {
			if text == "" {
				t.Errorf("%s has no %s", r.Name, what)
			}
		}
		if len(r.Evidence) == 0 {
			t.Errorf("%s has no evidence", r.Name)
		}
		fires := slices.ContainsFunc(cases[r.Name], func(c ruleCase) bool { return len(c.want) > 0 })
		quiet := slices.ContainsFunc(cases[r.Name], func(c ruleCase) bool { return len(c.want) == 0 })
		if !fires || !quiet {
			t.Errorf("%s: a case that fires %v, a case that is quiet %v; want both", r.Name, fires, quiet)
		}
	}
	if diff := cmp.Diff(specified, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestRules_Cases(t *testing.T) {
	for _, name := range specified {
		for _, c := range cases[name] {
			t.Run(name+"/"+c.name, func(t *testing.T) { c.check(t, name) })
		}
	}
}

func (c *ruleCase) check(t *testing.T, rule string) {
	e := c.run(nil)
	var got []string
	var first *diagnose.Finding
	for _, f := range e.Findings() {
		if f.Rule.Name != rule {
			continue
		}
		if first == nil {
			first = &f
		}
		got = append(got, fmt.Sprintf("%v %d %s", f.Severity, f.Count, who(&f.Process)))
		checkFinding(t, &f)
	}
	if diff := cmp.Diff(c.want, got); diff != "" {
		t.Fatalf("findings (-want +got):\n%s", diff)
	}
	for _, part := range c.says {
		if !strings.Contains(first.Summary+"; "+first.Cause, part) {
			t.Errorf("it does not say %q: %s; %s", part, first.Summary, first.Cause)
		}
	}
}

// run hands the story to an engine, as a live trace would, and told each
// finding as it arises.
func (c *ruleCase) run(told func(diagnose.Finding)) *diagnose.Engine {
	options := diagnose.Options{}
	if c.sysctls != nil {
		options.Settings = c.sysctls
	}
	if c.devices != nil {
		options.Settings = c.devices
	}
	e := diagnose.New(options)
	story.Tell(c.events, c.until, func(ch *conn.Change) {
		e.Handle(ch)
		if told == nil {
			return
		}
		for _, f := range e.Fresh() {
			told(f)
		}
	})
	e.Advance(event.Time(c.until))
	if told != nil {
		for _, f := range e.Fresh() {
			told(f)
		}
	}
	return e
}

// checkFinding holds what every finding owes: all of its figures are explained,
// and nothing is left open.
func checkFinding(t *testing.T, f *diagnose.Finding) {
	t.Helper()
	if f.Summary == "" || f.Cause == "" || f.Advice == "" || f.More == "" || f.ID == "" || len(f.Evidence) == 0 {
		t.Errorf("incomplete: %+v", f)
	}
	if f.First == 0 || f.Last < f.First {
		t.Errorf("%s: from %d to %d", f.ID, f.First, f.Last)
	}
	for _, v := range f.Evidence {
		name := v.Name
		if v.Kind == diagnose.Length {
			name += "_ns"
		}
		if !slices.ContainsFunc(f.Rule.Evidence, func(term diagnose.Term) bool { return term.Name == name }) {
			t.Errorf("%s does not explain %q", f.Rule.Name, name)
		}
	}
	for _, text := range []string{f.Summary, f.Cause, f.Advice, f.Cost, f.More} {
		for _, wrong := range []string{"tw_recycle", "-p PID", "--pid PID", "/proc/PID", "%!", "  "} {
			if strings.Contains(text, wrong) {
				t.Errorf("%s says %q: %s", f.ID, wrong, text)
			}
		}
	}
}

func who(o *conn.Owner) string {
	if !o.Known() {
		return "-"
	}
	return strings.TrimRight(string(o.Task.Comm[:]), "\x00")
}

var (
	shop  = story.Task(26809, "shop")
	curl  = story.Task(4242, "curl")
	nginx = story.Task(1234, "nginx")
)

const serverAt = "10.9.8.7:443"

// each makes n lives, of sockets with addresses and cookies of their own.
func each(n int, life func(i int, client, server story.Socket) []event.Event) []event.Event {
	var all []event.Event
	for i := range n {
		at := fmt.Sprintf("10.0.%d.%d:40000", i/200, i%200+1)
		all = append(all, life(i,
			story.NewSocket(uint64(0xc0000+i), at, serverAt),
			story.NewSocket(uint64(0x50000+i), serverAt, at),
		)...)
	}
	slices.SortStableFunc(all, func(a, b event.Event) int { return int(a.Time - b.Time) })
	return all
}

// served is a server's connection that its process has accepted, from at on.
func served(server story.Socket, at time.Duration, by event.Task) []event.Event {
	return story.Join(server.Accept(at, 300*us), server.Accepted(at+400*us, tcp.Established, by))
}

// healthy is a server's life as it should be: the client closes first.
func healthy(server story.Socket, at time.Duration, by event.Task) []event.Event {
	return story.Join(
		served(server, at, by),
		server.State(at+1*s, tcp.Established, tcp.CloseWait),
		story.By(by, server.State(at+1*s+200*us, tcp.CloseWait, tcp.LastAck)),
		server.State(at+1*s+400*us, tcp.LastAck, tcp.Close),
	)
}

// listening is the server's listener.
func listening(by event.Task) event.Event {
	return story.By(by, story.NewSocket(0x11, serverAt, "").State(1*ms, tcp.Close, tcp.Listen))
}

func addr(at string) netip.AddrPort { return netip.MustParseAddrPort(at) }

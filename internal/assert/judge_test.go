package assert

import (
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

const end = 100 * time.Second

// judge holds one assertion against a story.
func judge(t *testing.T, text string, events []event.Event) Verdict {
	t.Helper()
	a, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	j := NewJudge([]*Assertion{a})
	engine := diagnose.New(diagnose.Options{})
	story.Tell(events, end, func(c *conn.Change) {
		engine.Handle(c)
		j.Handle(c)
	})
	engine.Advance(event.Time(end))
	j.Findings(engine.Findings())
	return j.Verdicts()[0]
}

// What is said of a client that closes first, and a server that took 12.345 s to
// close, is right to the nanosecond.
func TestJudge_Plain(t *testing.T) {
	for text, want := range map[string]Outcome{
		"no CLOSE_WAIT > 5s":                     Fails,
		"no CLOSE_WAIT > 12344990us":             Holds,
		"no CLOSE_WAIT > 12344989us":             Fails,
		"CLOSE_WAIT < 12344990us":                Fails,
		"no CLOSE_WAIT > 5s by curl":             Holds,
		"no CLOSE_WAIT > 5s by nginx":            Fails,
		"no CLOSE_WAIT > 5s port 443":            Fails,
		"no CLOSE_WAIT > 5s port 444":            Holds,
		"connections = 2":                        Holds,
		"clients = 1":                            Holds,
		"servers = 1 by nginx":                   Holds,
		"TIME_WAIT = 1":                          Holds,
		"SYN_RECV = 1":                           Holds,
		"no CLOSING":                             Holds,
		"no resets":                              Holds,
		"open = 0":                               Holds,
		"no failed_connects":                     Holds,
		"no retransmits":                         Holds,
		"no incomplete":                          Holds,
		"handshake <= 400us":                     Holds,
		"handshake < 400us":                      Fails,
		"min handshake >= 350us":                 Holds,
		"max handshake <= 400us":                 Holds,
		"mean handshake < 376us":                 Holds,
		"mean handshake < 375us":                 Fails,
		"p50 handshake <= 350us":                 Holds,
		"p99 handshake <= 399us":                 Fails,
		"total TIME_WAIT <= 60999995us":          Holds,
		"total TIME_WAIT < 60999995us":           Fails,
		"life < 14345009us by curl":              Holds, // without TIME_WAIT
		"ESTABLISHED > 1s":                       Holds,
		"ESTABLISHED > 1999600us":                Fails,
		"p99 CLOSING < 1ns":                      Holds, // of none everything is true
		"connections >= 3":                       Fails,
		"no SYN_SENT > 1s":                       Holds,
		"no simultaneous-close":                  Holds,
		"no CLOSE_WAIT > 5s by nginx port 40000": Fails,
	} {
		if got := judge(t, text, story.Plain()); got.Outcome != want {
			t.Errorf("%q %s, want %s: %+v", text, got.Outcome, want, got)
		}
	}
}

// The evidence names the connection, its process, and for how long.
func TestJudge_Evidence(t *testing.T) {
	got := judge(t, "no CLOSE_WAIT > 5s", story.Plain())
	server := story.NewSocket(0x1a5ce, "10.9.8.7:443", "10.0.0.1:40000")
	nginx := event.Task{PID: 1234, UID: 33, Comm: [16]byte{'n', 'g', 'i', 'n', 'x'}}
	want := Verdict{
		Assertion: got.Assertion, Outcome: Fails, Number: 1, Length: 12_344_990 * time.Microsecond, Broken: 1,
		Offenders: []Offender{{
			ID: server.ID, Local: server.Local, Remote: server.Remote, Role: conn.Server,
			Process: conn.Owner{Task: nginx, Via: conn.ViaClose},
			State:   tcp.CloseWait, Length: 12_344_990 * time.Microsecond, Note: "fin",
		}},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b *Assertion) bool { return a == b }),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestJudge_Failures(t *testing.T) {
	for text, want := range map[string]Outcome{
		"refused = 1":          Holds,
		"no failed_connects":   Fails,
		"failed_connects = 1":  Holds,
		"resets = 0":           Holds, // what never was is not reset
		"no timeouts":          Holds,
		"no connect-refused":   Fails,
		"no findings by curl":  Holds, // one refused connect() is but information
		"no findings by nginx": Holds,
	} {
		if got := judge(t, text, story.Refused()); got.Outcome != want {
			t.Errorf("%q %s, want %s: %+v", text, got.Outcome, want, got)
		}
	}
	got := judge(t, "no failed_connects", story.Refused())
	if len(got.Offenders) != 1 || got.Offenders[0].Note != "refused, connect-refused" || commOf(&got.Offenders[0].Process.Task) != "curl" {
		t.Errorf("the evidence is %+v", got.Offenders)
	}
}

// What was lost may have spoken against an assertion: it is not proved. What is
// seen to fail, fails.
func TestJudge_Lost(t *testing.T) {
	for text, want := range map[string]Outcome{
		"no CLOSE_WAIT":        Unproven,
		"resets = 0":           Fails,
		"resets_sent = 1":      Unproven,
		"no retransmits_rto":   Fails,
		"no retransmits":       Fails,
		"retransmits > 3":      Fails,
		"retransmits_syn = 2":  Fails,
		"no reset-unread-data": Fails,
	} {
		if got := judge(t, text, story.Lossy()); got.Outcome != want {
			t.Errorf("%q %s, want %s: %+v", text, got.Outcome, want, got)
		}
	}
	if got := judge(t, "no CLOSE_WAIT", story.Lossy()); got.Why != "17 events were lost" {
		t.Errorf("it is unproven because %q", got.Why)
	}
}

// News of full queues that were lost leave open only what they could tell of.
func TestJudge_LostQueues(t *testing.T) {
	events := story.Join(story.Refused(), story.Lost(8*time.Second, 9*time.Second, event.QueueFull, 3))
	for text, want := range map[string]Outcome{
		"no CLOSE_WAIT":      Holds,
		"refused = 1":        Holds,
		"no incomplete":      Holds,
		"no queue_overflows": Unproven,
		"no close-wait-leak": Unproven,
	} {
		if got := judge(t, text, events); got.Outcome != want {
			t.Errorf("%q %s, want %s: %+v", text, got.Outcome, want, got)
		}
	}
}

// Of a connection older than the trace it is known how long it was in a state at
// least: enough to fail, not to hold.
func TestJudge_Older(t *testing.T) {
	for text, want := range map[string]Outcome{
		"no FIN_WAIT1 > 1s":           Fails,
		"no FIN_WAIT1 > 2s":           Holds,
		"no ESTABLISHED > 10s":        Unproven,
		"p99 ESTABLISHED < 10s":       Unproven,
		"life < 1s":                   Fails,
		"life < 10s":                  Unproven,
		"no incomplete":               Fails,
		"resets_sent = 1 by sshd":     Holds,
		"no reset-aborted":            Fails,
		"CLOSE_WAIT > 1h":             Holds,
		"no FIN_WAIT1 > 1s port 22":   Fails,
		"no FIN_WAIT1 > 1s port 2222": Holds,
	} {
		if got := judge(t, text, story.Killed()); got.Outcome != want {
			t.Errorf("%q %s, want %s: %+v", text, got.Outcome, want, got)
		}
	}
}

// A stay that lasts is judged by what it took so far.
func TestJudge_Lasting(t *testing.T) {
	for text, want := range map[string]Outcome{
		"no ESTABLISHED > 98s":  Fails,
		"no ESTABLISHED > 99s":  Holds,
		"ESTABLISHED > 99s":     Unproven,
		"ESTABLISHED > 98s":     Holds,
		"open = 1":              Holds,
		"connections = 1":       Holds,
		"max ESTABLISHED < 99s": Holds,
		"max ESTABLISHED < 98s": Fails,
	} {
		if got := judge(t, text, story.Hostile()); got.Outcome != want {
			t.Errorf("%q %s, want %s: %+v", text, got.Outcome, want, got)
		}
	}
	got := judge(t, "no ESTABLISHED > 98s", story.Hostile())
	if o := got.Offenders[0]; !o.Lasts || o.Length != 98_999_600*time.Microsecond || o.Note != "open, in ESTABLISHED" {
		t.Errorf("the evidence is %+v", o)
	}
}

// What is missing of a connection may have spoken against an assertion.
func TestJudge_Healed(t *testing.T) {
	events := append(story.Healed()[:3:3], story.Healed()[4:]...) // without the count of what was lost
	got := judge(t, "no resets", events)
	if got.Outcome != Unproven || got.Why != "of 1 connections an event was not seen" {
		t.Errorf("%+v", got)
	}
}

// Of many offenders the worst few are shown, and all are counted.
func TestJudge_Worst(t *testing.T) {
	var all []event.Event
	for i := range 11 {
		server := story.NewSocket(uint64(100+i), "10.9.8.7:443", "10.0.0.1:"+itoa(uint64(40000+i)))
		at := time.Duration(i) * time.Millisecond
		all = append(all, story.Join(
			server.Accept(at, time.Microsecond),
			server.State(at+2*time.Microsecond, tcp.Established, tcp.CloseWait),
			server.State(at+2*time.Microsecond+time.Duration(i%7)*time.Second, tcp.CloseWait, tcp.LastAck),
		)...)
	}
	got := judge(t, "CLOSE_WAIT < 1s", all)
	if got.Outcome != Fails || got.Number != 11 || got.Broken != 9 || got.Length != 6*time.Second {
		t.Errorf("%+v", got)
	}
	var worst []string
	for _, o := range got.Offenders {
		worst = append(worst, o.Length.String()+" "+itoa(uint64(o.Remote.Port())))
	}
	want := []string{"6s 40006", "5s 40005", "4s 40004", "3s 40003", "3s 40010"}
	if diff := cmp.Diff(want, worst); diff != "" {
		t.Error(diff)
	}
}

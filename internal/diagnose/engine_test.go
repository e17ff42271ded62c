package diagnose_test

import (
	"fmt"
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

func words(all []diagnose.Finding) (w []string) {
	for _, f := range all {
		word := fmt.Sprintf("%v %s %d %s", f.Severity, f.ID, f.Count, who(&f.Process))
		if f.Withdrawn {
			word += " withdrawn"
		}
		w = append(w, word)
	}
	return w
}

// A healthy host: nothing above information, in 2,003 connections of both
// sides, with a few accidents that every host has.
func TestEngine_Healthy(t *testing.T) {
	events := story.Join(
		listening(nginx),
		each(1000, func(i int, _, server story.Socket) []event.Event {
			return healthy(server, time.Duration(i+1)*10*ms, nginx)
		}),
		lives(1000, 10*ms, serverAt),
		refused(story.NewSocket(0x1, "10.0.0.1:50000", "[2001:db8::1]:443"), 3*s, curl),
		peerResets(1),
		half(story.NewSocket(0x2, "10.0.0.1:50001", "10.9.9.9:443"), 1*s, true),
	)
	slices.SortStableFunc(events, func(a, b event.Event) int { return int(a.Time - b.Time) })
	c := ruleCase{events: events, until: 30 * s}
	e := c.run(func(f diagnose.Finding) {
		if f.Severity > diagnose.Info {
			t.Errorf("%v: %s", words([]diagnose.Finding{f}), f.Summary)
		}
	})
	for _, f := range e.Findings() {
		if f.Severity > diagnose.Info {
			t.Errorf("%v: %s", words([]diagnose.Finding{f}), f.Summary)
		}
	}
	if got := e.Stats().Connections; got != 2003 {
		t.Errorf("%d connections, want 2003", got)
	}
}

// A finding is told when it arises, when its severity changes and when it is
// half as much again, at most once a second; and not each time.
func TestEngine_Fresh(t *testing.T) {
	c := ruleCase{until: 70 * s}
	c.events = each(100, func(i int, _, server story.Socket) []event.Event {
		at := time.Duration(i+1) * 500 * ms
		return story.Join(served(server, at, shop), server.State(at+1*ms, tcp.Established, tcp.CloseWait))
	})
	var got []string
	var last event.Time
	c.run(func(f diagnose.Finding) {
		got = append(got, fmt.Sprint(f.Severity, " ", f.Count))
		if f.Last-last < 0 {
			t.Errorf("%s is told out of order", f.ID)
		}
		last = f.Last
	})
	want := []string{"info 1", "warning 3", "warning 5", "warning 7", "warning 10", "warning 15", "warning 22", "warning 33", "warning 49", "warning 73", "warning 100"}
	if len(got) > len(want) || len(got) < 8 || got[0] != "info 1" || !slices.Contains(got, "warning 3") && !slices.Contains(got, "warning 4") {
		t.Errorf("told %v", got)
	}
}

// A scan takes the place of what was told of its single targets.
func TestEngine_Withdrawn(t *testing.T) {
	c := ruleCase{events: scan(101, shop), until: 15 * s}
	standing := map[string]string{}
	e := c.run(func(f diagnose.Finding) {
		standing[f.ID] = words([]diagnose.Finding{f})[0]
		if f.Withdrawn {
			delete(standing, f.ID)
		}
	})
	if len(standing) != 1 || standing["connect-scan:pid=26809"] == "" {
		t.Errorf("what stands: %v", standing)
	}
	if diff := cmp.Diff([]string{"warning connect-scan:pid=26809 101 shop"}, words(e.Findings())); diff != "" {
		t.Error(diff)
	}
}

// The same changes make the same findings, in the same order.
func TestEngine_Deterministic(t *testing.T) {
	for _, name := range specified {
		for _, c := range cases[name] {
			var told [2][]string
			var end [2][]diagnose.Finding
			for i := range told {
				e := c.run(func(f diagnose.Finding) { told[i] = append(told[i], fmt.Sprintf("%v: %s", f.ID, f.Summary)) })
				end[i] = e.Findings()
			}
			ignore := cmp.Comparer(func(a, b *diagnose.Rule) bool { return a == b })
			if diff := cmp.Diff(told[0], told[1]); diff != "" {
				t.Errorf("%s/%s: told (-first +second):\n%s", name, c.name, diff)
			}
			if diff := cmp.Diff(end[0], end[1], ignore); diff != "" {
				t.Errorf("%s/%s: at the end (-first +second):\n%s", name, c.name, diff)
			}
		}
	}
}

// Of very many causes some are left out, and counted.
func TestEngine_Bounded(t *testing.T) {
	e := diagnose.New(diagnose.Options{})
	events := each(1009, func(i int, client, _ story.Socket) []event.Event {
		return refused(client, time.Duration(i+1)*ms, story.Task(uint32(100+i), "client"))
	})
	story.Tell(events, 5*s, e.Handle)
	if n, left := len(e.Findings()), e.Stats().Unfollowed; n != 128 || left != 1009-128 {
		t.Errorf("%d findings, %d left out", n, left)
	}
}

// A number that another process has got stands for that one from then on.
func TestEngine_NumberReused(t *testing.T) {
	later := story.Task(curl.PID, "other")
	later.Cgroup = 77
	first := refusals(7)
	second := each(7, func(i int, client, _ story.Socket) []event.Event {
		client.ID.Cookie += 0x1000
		return refused(client, 5*time.Minute+time.Duration(i)*10*ms, later)
	})
	c := ruleCase{events: story.Join(first, second), until: 6 * time.Minute}
	want := []string{
		"warning connect-refused:pid=4242#1:netns=4026531840:10.9.8.7:443 7 other",
		"warning connect-refused:pid=4242:netns=4026531840:10.9.8.7:443 7 curl",
	}
	if diff := cmp.Diff(want, words(c.run(nil).Findings())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Both ends of a leak are on the host: the finding names both.
func TestEngine_BothEnds(t *testing.T) {
	events := each(3, func(_ int, client, server story.Socket) []event.Event {
		begin := client.TimeWait(2*s+2*us, tcp.FinWait2)
		begin[0].New = tcp.FinWait2
		return story.Join(
			client.Connect(1*s, 300*us, curl), served(server, 1*s+100*us, shop),
			story.By(curl, client.State(2*s, tcp.Established, tcp.FinWait1)),
			server.State(2*s+1*us, tcp.Established, tcp.CloseWait),
			client.State(2*s+2*us, tcp.FinWait1, tcp.FinWait2), begin,
		)
	})
	c := ruleCase{events: events, until: 15 * s}
	var got []string
	for _, f := range c.run(nil).Findings() {
		got = append(got, f.Rule.Name+" "+who(&f.Process)+" "+who(&f.Peer))
	}
	want := []string{"close-wait-leak shop curl"} // of which curl's orphans are the other side
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// No text of a finding holds what a stranger chose: names stand apart.
func TestEngine_NoNamesInText(t *testing.T) {
	evil := story.Task(666, "\x1b[31mevil")
	c := ruleCase{until: 10 * s, events: each(23, func(i int, client, _ story.Socket) []event.Event {
		return refused(client, time.Duration(i+1)*ms, evil)
	})}
	found := 0
	c.run(func(f diagnose.Finding) {
		found++
		for _, text := range []string{f.ID, f.Summary, f.Cause, f.Advice, f.Cost, f.More} {
			if strings.ContainsAny(text, "\x1b") || strings.Contains(text, "evil") {
				t.Errorf("%q", text)
			}
		}
	})
	if found == 0 {
		t.Error("nothing was found")
	}
}

// A life of six changes through the tracker and all rules.
func BenchmarkEngine(b *testing.B) {
	for name, handle := range map[string]conn.Handler{
		"tracker": func(*conn.Change) {}, "tracker+rules": diagnose.New(diagnose.Options{}).Handle,
	} {
		b.Run(name, func(b *testing.B) {
			const n = 10_000
			events := lives(n, 50*us, serverAt)
			b.ReportAllocs()
			for i := 0; i < b.N; i += n {
				tr := conn.New(conn.Options{Reuse: true})
				for i := range events {
					tr.Handle(&events[i], handle)
				}
			}
		})
	}
}

package compare

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

func side(events []event.Event) *Side {
	s := NewSide()
	engine := diagnose.New(diagnose.Options{})
	story.Tell(events, 100*time.Second, func(c *conn.Change) {
		engine.Handle(c)
		s.Show(c)
	})
	engine.Advance(event.Time(100 * time.Second))
	s.Findings(engine.Findings())
	return s
}

// closeWaits are n connections of a process, each so long in CLOSE_WAIT.
func closeWaits(n int, stay time.Duration) (all []event.Event) {
	for i := range n {
		c := story.NewSocket(uint64(100+i), "10.9.8.7:443", fmt.Sprintf("10.0.0.1:%d", 20000+i))
		at := time.Duration(i+1) * time.Second
		all = append(all, story.Join(
			c.Accept(at, time.Microsecond),
			c.State(at+time.Millisecond, tcp.Established, tcp.CloseWait),
			story.By(story.Task(7, "api"), c.State(at+time.Millisecond+stay, tcp.CloseWait, tcp.LastAck)),
			c.State(at+2*time.Millisecond+stay, tcp.LastAck, tcp.Close),
		)...)
	}
	return all
}

func notable(all []Difference) (lines []string) {
	for i := range all {
		if d := &all[i]; d.Notable() {
			lines = append(lines, fmt.Sprintf("%s %s %d %d %.1f", d.Process, d.Figure, d.Before, d.After, d.Ratio))
		}
	}
	return lines
}

// A deploy after which a process closes late shows as that, and nothing else.
func TestDiff_Leak(t *testing.T) {
	got := notable(Diff(side(closeWaits(11, 3*time.Millisecond)), side(closeWaits(11, 800*time.Millisecond))))
	want := []string{
		"api CLOSE_WAIT p50 3000000 800000000 266.7",
		"api CLOSE_WAIT p99 3000000 800000000 266.7",
		"api CLOSE_WAIT max 3000000 800000000 266.7",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDiff_Same(t *testing.T) {
	if got := notable(Diff(side(story.Plain()), side(story.Plain()))); got != nil {
		t.Errorf("a trace differs from itself by %q", got)
	}
}

// What is new, and what is gone.
func TestDiff_New(t *testing.T) {
	all := Diff(side(story.Plain()), side(story.Lossy()))
	found := map[string]Difference{}
	for _, d := range all {
		found[d.Process+" "+d.Figure] = d
	}
	for name, want := range map[string]Difference{
		"nginx reset: reset-unread-data":  {After: 1, Ratio: math.Inf(1)},
		"nginx retransmits rto":           {After: 1, Ratio: math.Inf(1)},
		"nginx finding reset-unread-data": {After: 1, Ratio: math.Inf(1)},
		"curl connections":                {Before: 1, Ratio: 0},
		"curl been in TIME_WAIT":          {Before: 1, Ratio: 0},
	} {
		got := found[name]
		if got.Before != want.Before || got.After != want.After || got.Ratio != want.Ratio || !got.Notable() {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

// More times than are kept leave the percentiles where they are, nearly.
func TestTimes(t *testing.T) {
	var x times
	for i := range 3 * maxTimes {
		x.add(time.Duration(i))
	}
	if x.count != 3*maxTimes || x.max != 3*maxTimes-1 || len(x.all) > maxTimes {
		t.Errorf("%d times, the longest %d, %d kept", x.count, x.max, len(x.all))
	}
	if p := x.rank(50); math.Abs(float64(p)-1.5*maxTimes) > 8 {
		t.Errorf("the median is %d, want %d", p, 3*maxTimes/2)
	}
	if p := (&times{all: []time.Duration{5, 1, 9}}).rank(99); p != 9 {
		t.Errorf("the 99th percentile of three is %d, want the greatest", p)
	}
}

package population

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	ms = time.Millisecond
	s  = time.Second
)

func tell(h *History, events []event.Event, end time.Duration) {
	story.Tell(events, end, h.Show)
}

// at returns the counts at a time, states that nothing is in left out.
func at(series *Series, t time.Duration) map[string]int {
	i := int((event.Time(t).Sub(series.Begin) - 1) / series.Every)
	found := map[string]int{}
	for state, n := range series.At[i] {
		if n != 0 {
			found[tcp.State(state).String()] = n
		}
	}
	return found
}

func expect(t *testing.T, series *Series, when time.Duration, want map[string]int) {
	t.Helper()
	if diff := cmp.Diff(want, at(series, when)); diff != "" {
		t.Errorf("at %v: -want +got\n%s", when, diff)
	}
}

func TestHistory_BothEndsOfAPlainConnection(t *testing.T) {
	h := NewHistory(4096)
	h.Begin(0)
	tell(h, story.Plain(), 80*s)
	series := h.Series(event.Time(80*s), 0)
	expect(t, series, 900*ms, map[string]int{})
	expect(t, series, 2*s, map[string]int{"ESTABLISHED": 2})
	expect(t, series, 10*s, map[string]int{"FIN_WAIT2": 1, "CLOSE_WAIT": 1})
	expect(t, series, 60*s, map[string]int{"TIME_WAIT": 1})
	expect(t, series, 80*s, map[string]int{})
	if series.Most[tcp.Established] != 2 || series.Most[tcp.TimeWait] != 1 {
		t.Errorf("most: %v", series.Most)
	}
	if len(series.At) > 4096 || series.Every != 32*ms {
		t.Errorf("%d instants, every %v", len(series.At), series.Every)
	}
}

func TestHistory_FewInstantsOfALongTrace(t *testing.T) {
	h := NewHistory(16)
	h.Begin(0)
	tell(h, story.Plain(), 80*s)
	series := h.Series(event.Time(80*s), 16)
	if len(series.At) > 16 {
		t.Errorf("%d instants, 16 at most were asked for", len(series.At))
	}
	expect(t, series, 80*s, map[string]int{})
	if got := series.Time(len(series.At)-1, event.Time(80*s)); got != event.Time(80*s) {
		t.Errorf("the last instant is %v, not the end", got)
	}
}

// A stay that is over before the next of few instants is among the peaks.
func TestHistory_PeaksBetweenInstants(t *testing.T) {
	client := story.NewSocket(0x7, "10.0.0.1:40000", "10.9.8.7:443")
	h := NewHistory(4096)
	h.Begin(0)
	tell(h, story.Join(
		client.Connect(1*s, ms, story.Task(1, "x")), client.State(42*s, tcp.Established, tcp.FinWait1),
		client.State(42*s+100*ms, tcp.FinWait1, tcp.FinWait2),
	), 80*s)
	series := h.Series(event.Time(80*s), 16)
	at, peaks := 0, 0
	for i := range series.At {
		at += series.At[i][tcp.FinWait1]
		peaks += series.Peaks[i][tcp.FinWait1]
	}
	if at != 0 || peaks != 1 || len(series.Peaks) != len(series.At) {
		t.Errorf("FIN_WAIT1 is in %d of %d instants and in %d of %d peaks, want 0 and 1", at, len(series.At), peaks, len(series.Peaks))
	}
}

func TestHistory_OpenAtTheEnd(t *testing.T) {
	h := NewHistory(64)
	tell(h, story.Hostile(), 5*s)
	expect(t, h.Series(event.Time(5*s), 0), 5*s, map[string]int{"ESTABLISHED": 1})
}

func TestHistory_OlderThanTheTrace(t *testing.T) {
	h := NewHistory(4096)
	h.Begin(event.Time(1 * s))
	tell(h, story.Killed(), 20*s)
	series := h.Series(event.Time(20*s), 0)
	expect(t, series, 2*s, map[string]int{"ESTABLISHED": 1})
	expect(t, series, 11*s, map[string]int{"FIN_WAIT1": 1})
	expect(t, series, 13*s, map[string]int{})
}

func TestHistory_FoundByTheFirstSweep(t *testing.T) {
	socket := story.NewSocket(0x7, "10.0.0.1:40000", "10.9.8.7:443")
	listener := story.NewSocket(0x8, "[::]:443", "")
	h := NewHistory(4096)
	h.Begin(event.Time(1 * s))
	tell(h, story.Join(
		socket.Seen(1200*ms, tcp.CloseWait), listener.Seen(1200*ms, tcp.Listen), socket.Swept(1100*ms, 1300*ms),
	), 3*s)
	expect(t, h.Series(event.Time(3*s), 0), 1001*ms, map[string]int{"CLOSE_WAIT": 1, "LISTEN": 1})
}

func TestHistory_ListenerComesAndGoes(t *testing.T) {
	h := NewHistory(4096)
	h.Begin(0)
	tell(h, story.Listener(), 100*s)
	series := h.Series(event.Time(100*s), 0)
	expect(t, series, 50*s, map[string]int{"LISTEN": 1})
	expect(t, series, 95*s, map[string]int{})
}

func TestHistory_GivenUpForWantOfRoom(t *testing.T) {
	h := NewHistory(64)
	tracker := conn.New(conn.Options{MaxConnections: 1})
	events := story.Join(
		story.NewSocket(0x1, "10.0.0.1:40001", "10.9.8.7:443").Connect(1*s, ms, story.Task(7, "a")),
		story.NewSocket(0x2, "10.0.0.1:40002", "10.9.8.7:443").Connect(2*s, ms, story.Task(7, "a")),
	)
	for i := range events {
		tracker.Handle(&events[i], h.Show)
	}
	tracker.Finish(event.Time(4*s), h.Show)
	expect(t, h.Series(event.Time(4*s), 0), 4*s, map[string]int{"ESTABLISHED": 1})
}

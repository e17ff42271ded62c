package render

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
	"github.com/tcptrace/tcptrace/internal/timeline"
)

// gather runs events through the real tracker, until the trace ends, or goes
// on if end is 0.
func gather(events []event.Event, end time.Duration) *timeline.Collector {
	l := timeline.NewCollector(timeline.Options{})
	t := conn.New(conn.Options{Reuse: true})
	show := func(c *conn.Change) { l.Show(c) }
	for i := range events {
		t.Handle(&events[i], show)
	}
	if end > 0 {
		t.Finish(event.Time(end), show)
	}
	return l
}

// leak is a server of which every third connection is not closed, two are
// aborted, and one is older than the trace; and its client, all within a
// little more than unit*60.
func leak(unit time.Duration) (all []event.Event) {
	shop, curl := story.Task(4711, "shop"), story.Task(815, "curl")
	old := story.NewSocket(0x100, "127.0.0.1:8080", "127.0.0.1:39999")
	seen := old.State(unit, tcp.CloseWait, tcp.CloseWait)
	seen.Kind, seen.Task = event.Seen, shop
	all = append(all, seen)
	for i := range 12 {
		at := unit * time.Duration(2+i*4)
		client := story.NewSocket(uint64(2*i+1), fmt.Sprintf("127.0.0.1:%d", 40000+i), "127.0.0.1:8080")
		server := story.NewSocket(uint64(2*i+2), "127.0.0.1:8080", fmt.Sprintf("127.0.0.1:%d", 40000+i))
		accepted := server.State(at+unit/10, tcp.Established, tcp.Established)
		accepted.Kind, accepted.Task = event.Accepted, shop
		all = append(all, story.Join(client.Connect(at, unit/50, curl), server.Accept(at+unit/100, unit/50), accepted)...)
		end := at + unit*time.Duration(1+i%5)
		switch {
		case i%6 == 5:
			all = append(all, story.Join(
				story.By(shop, server.ResetSent(end, tcp.Established, "TCP_ABORT_ON_CLOSE")),
				story.By(shop, server.State(end, tcp.Established, tcp.Close)),
				client.ResetReceived(end+1, tcp.Established),
				client.State(end+1, tcp.Established, tcp.Close))...)
			continue
		case i%4 == 1:
			all = append(all, server.Retransmit(at+unit/2, tcp.Established, event.Retransmission{Bytes: 100, CAState: 4, Retransmits: 1, Head: true}))
		}
		all = append(all, story.Join(
			story.By(curl, client.State(end, tcp.Established, tcp.FinWait1)),
			server.State(end+unit/100, tcp.Established, tcp.CloseWait),
			client.State(end+unit/50, tcp.FinWait1, tcp.FinWait2))...)
		if i%3 != 0 {
			end += unit / 20
			all = append(all, story.Join(
				story.By(shop, server.State(end, tcp.CloseWait, tcp.LastAck)),
				client.TimeWait(end+1, tcp.FinWait2),
				server.State(end+2, tcp.LastAck, tcp.Close))...)
		}
	}
	return all
}

func TestTimeline(t *testing.T) {
	utf8 := Timeline{Options: plain}
	ascii := Timeline{Options: plain, ASCII: true}
	for _, test := range []struct {
		name   string
		text   Timeline
		width  int
		height int
		events []event.Event
		end    time.Duration
		view   timeline.View
	}{
		{"80", utf8, 80, 0, leak(time.Second), time.Minute, timeline.View{}},
		{"100-ascii", ascii, 100, 0, leak(time.Second), time.Minute, timeline.View{}},
		{"160", utf8, 160, 0, leak(time.Second), time.Minute, timeline.View{}},
		{"microseconds", utf8, 100, 0, leak(time.Microsecond), time.Minute / 1e6, timeline.View{}},
		{"milliseconds", utf8, 100, 0, leak(time.Millisecond), time.Minute / 1e3, timeline.View{}},
		{"hours", utf8, 100, 0, leak(5 * time.Minute), 5 * time.Hour, timeline.View{}},
		{"stories", utf8, 100, 0, everything(), 2 * time.Minute, timeline.View{}},
		{"window", utf8, 100, 0, leak(time.Second), time.Minute, timeline.View{Window: 20 * time.Second}},
		{"live", utf8, 100, 40, leak(time.Second), 0, timeline.View{Now: event.Time(55 * time.Second), Window: time.Minute}},
		{"live-small", utf8, 80, 24, leak(time.Second), 0, timeline.View{Now: event.Time(55 * time.Second), Window: time.Minute}},
		{"live-tiny", utf8, 80, 10, leak(time.Second), 0, timeline.View{Now: event.Time(55 * time.Second), Window: time.Minute}},
		{"nothing", utf8, 80, 0, nil, 0, timeline.View{Now: event.Time(time.Minute)}},
		{"nothing-live", utf8, 80, 24, nil, 0, timeline.View{Now: event.Time(time.Minute), Window: 10 * time.Second}},
		{"left-out", utf8, 80, 0, crowd(1009), time.Hour, timeline.View{Rows: 9}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.text.Width, test.text.Height = test.width, test.height
			l := gather(test.events, test.end)
			if test.height > 0 {
				test.view.Height = max(1, test.height-test.text.Frame())
			}
			if test.end > 0 {
				test.view.Now = event.Time(test.end)
			}
			got := test.text.Append(nil, l.Chart(test.view))
			fits(t, string(got), test.width, test.height)
			compareGolden(t, "timeline-"+test.name+".txt", got)
		})
	}
}

// crowd is n connections of one process, one after the other.
func crowd(n int) (all []event.Event) {
	for i := range n {
		client := story.NewSocket(uint64(i+1), "10.0.0.1:40000", "10.0.0.2:80")
		at := time.Duration(i) * time.Second
		all = append(all, story.Join(
			client.Connect(at, time.Millisecond, story.Task(9, "ab")),
			client.State(at+100*time.Millisecond, tcp.Established, tcp.CloseWait),
			client.State(at+101*time.Millisecond, tcp.CloseWait, tcp.LastAck),
			client.State(at+102*time.Millisecond, tcp.LastAck, tcp.Close))...)
	}
	return all
}

func fits(t *testing.T, text string, width, height int) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if height > 0 && len(lines) > height {
		t.Errorf("%d lines, the terminal has %d", len(lines), height)
	}
	for _, l := range lines {
		if n := columns.StringWidth(l); n > width {
			t.Errorf("%d columns of %d: %s", n, width, l)
		}
	}
}

// With the colours taken out, a chart is what it is without them.
func TestTimeline_ColorChangesNothingElse(t *testing.T) {
	sgr := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for _, height := range []int{0, 30} {
		l := gather(leak(time.Second), 0)
		without := Timeline{Options: plain, Width: 100, Height: height}
		with := without
		with.Color = true
		view := timeline.View{Now: event.Time(time.Minute), Height: height}
		painted := string(with.Append(nil, l.Chart(view)))
		if n := len(sgr.FindAllString(painted, -1)); n < 100 {
			t.Errorf("%d changes of colour", n)
		}
		if diff := cmp.Diff(string(without.Append(nil, l.Chart(view))), sgr.ReplaceAllString(painted, "")); diff != "" {
			t.Error(diff)
		}
	}
}

// No name and no address, however long, disturbs the terminal or the columns.
func TestTimeline_Hostile(t *testing.T) {
	var events []event.Event
	for i, name := range []string{"\x1b[31mx", "\x1b]0;t\x07", "\u202e\xff\xfe", "a\nb\rc\td", "日本語日本", "\x9b2J\x00"} {
		client := story.NewSocket(uint64(i+1), "[2001:db8:1111:2222:3333:4444:5555:6666]:40000", "[2001:db8:1111:2222:3333:4444:5555:7777]:443")
		events = append(events, client.Connect(time.Duration(i+1)*time.Second, time.Millisecond, story.Task(uint32(i+1), name))...)
	}
	l := gather(events, 0)
	for _, ascii := range []bool{false, true} {
		for _, width := range []int{20, 60, 80, 100, 160, 300} {
			text := Timeline{Options: plain, Width: width, ASCII: ascii}
			got := string(text.Append(nil, l.Chart(timeline.View{Now: event.Time(20 * time.Second)})))
			fits(t, got, max(width, 80), 0)
			for _, r := range got {
				if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u202e' || ascii && r > 0x7f && !strings.ContainsRune("日本語", r)) {
					t.Fatalf("width %d: it holds %U:\n%s", width, r, got)
				}
			}
		}
	}
}

// On a terminal the columns stay where they are when a chart needs less room
// than the one before.
func TestTimeline_ColumnsStay(t *testing.T) {
	text := Timeline{Options: plain, Width: 100, Height: 40}
	axis := func(l *timeline.Collector) string {
		lines := strings.Split(string(text.Append(nil, l.Chart(timeline.View{Now: event.Time(time.Minute), Window: time.Minute, Height: 30}))), "\n")
		for _, l := range lines {
			if strings.Contains(l, "CONNECTION") {
				return l
			}
		}
		return ""
	}
	full, empty := axis(gather(leak(time.Second), 0)), axis(gather(nil, 0))
	if full != empty || full == "" {
		t.Errorf("the columns have moved:\n%s\n%s", full, empty)
	}
}

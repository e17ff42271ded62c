package render

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var plain = Options{Zone: time.FixedZone("", 2*60*60), Clock: story.Clock}

// everything is all stories, one after the other.
func everything() []event.Event {
	return story.Join(story.Listener(), story.Plain(), story.Refused(), story.Lossy(), story.Killed(), story.Hostile(), story.HandedOn(), story.Healed())
}

func TestAppendWatch(t *testing.T) {
	got := AppendWatchHeader(nil)
	story.Tell(everything(), 3*time.Minute, func(c *conn.Change) { got = plain.AppendWatch(got, c) })
	compareGolden(t, "watch.txt", got)
}

func TestAppendConn(t *testing.T) {
	got := AppendConnsHeader(nil)
	story.Tell(everything(), 3*time.Minute, func(c *conn.Change) {
		if c.Kind == conn.Ended || c.Kind == conn.Lost {
			got = plain.AppendConn(got, c)
		}
	})
	compareGolden(t, "conns.txt", got)
}

func TestAppendOpen(t *testing.T) {
	var open Open
	if got := plain.AppendOpen(nil, &open); len(got) != 0 {
		t.Errorf("nothing is open, and it says %q", got)
	}
	var events []event.Event
	for cookie := range uint64(12) {
		client := story.NewSocket(cookie+1, "10.0.0.1:40000", "10.9.8.7:443")
		events = append(events, client.Connect(time.Duration(cookie+1)*time.Second, time.Millisecond, story.Task(7, "curl"))...)
	}
	events = events[:len(events)-1] // the last one is still connecting
	story.Tell(events, time.Minute, func(c *conn.Change) {
		if c.Kind == conn.Ended {
			open.Add(c)
		}
	})
	compareGolden(t, "open.txt", plain.AppendOpen(nil, &open))
}

func TestAppendCapabilities(t *testing.T) {
	rows := []Capability{
		{Name: "transitions", Grade: "exact", Hook: "tp_btf/inet_sock_set_state"},
		{Name: "FIN_WAIT2 after close()", Grade: "bounded", Hook: "tp_btf/timer_start",
			Lost: "the moment of the peer's FIN", Why: "this kernel's kfree_skb has no rx_sk", Remedy: "Linux 6.12"},
		{Name: "why a reset was sent", Grade: "absent", Why: "this kernel has no sk_rst_reason"},
	}
	compareGolden(t, "doctor.txt", AppendCapabilities(nil, rows, false))
}

// Lines of IPv4 addresses fit a terminal of 120 columns, whatever the name of
// the process.
func TestAppendWatch_Fits(t *testing.T) {
	widest := story.NewSocket(1, "100.100.100.100:40000", "200.200.200.200:44300")
	events := widest.Connect(time.Second, time.Millisecond, story.Task(4194304, "日本日本日"))
	story.Tell(events, time.Minute, func(c *conn.Change) {
		line := string(plain.AppendWatch(nil, c))
		if w := columns.StringWidth(strings.TrimSuffix(line, "\n")); w > 120 {
			t.Errorf("%d columns: %s", w, line)
		}
	})
}

// With the colours taken out, a line is what it is without them.
func TestAppendWatch_ColorChangesNothingElse(t *testing.T) {
	colored := plain
	colored.Color = true
	sgr := regexp.MustCompile("\x1b\\[[0-9;]*m")
	painted := 0
	story.Tell(everything(), time.Minute, func(c *conn.Change) {
		line := colored.AppendWatch(nil, c)
		painted += len(sgr.FindAll(line, -1))
		if diff := cmp.Diff(string(plain.AppendWatch(nil, c)), sgr.ReplaceAllString(string(line), "")); diff != "" {
			t.Error(diff)
		}
	})
	if painted == 0 {
		t.Error("there is no colour")
	}
}

func TestAppendDuration(t *testing.T) {
	for _, test := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0ns"},
		{999, "999ns"},
		{45 * time.Microsecond, "45us"},
		{999999, "999us"},
		{time.Millisecond, "1.00ms"},
		{1239 * time.Microsecond, "1.23ms"},
		{12399 * time.Microsecond, "12.3ms"},
		{999999 * time.Microsecond, "999ms"},
		{time.Second, "1.00s"},
		{60999995 * time.Microsecond, "60.9s"},
		{99999 * time.Millisecond, "99.9s"},
		{100 * time.Second, "1m40s"},
		{3599 * time.Second, "59m59s"},
		{3720 * time.Second, "1h02m"},
		{24 * time.Hour, "1d00h"},
		{400*24*time.Hour + 23*time.Hour, "400d23h"},
		{-1500 * time.Millisecond, "-1.50s"},
	} {
		if got := string(AppendDuration(nil, test.d)); got != test.want {
			t.Errorf("%d ns: %q, want %q", int64(test.d), got, test.want)
		}
	}
}

func TestAppendSafe(t *testing.T) {
	for _, test := range []struct {
		in    string
		width int
		want  string
		used  int
	}{
		{"nginx", 10, "nginx", 5},
		{"tmux: server", 12, "tmux: server", 12},
		{"tmux: server", 11, "tmux: serv~", 11},
		{"\x1b[31mx", 20, `\x1b[31mx`, 9},
		{"\x1b[31mx", 4, `~`, 1},
		{"\x1b[31mx", 5, `\x1b~`, 5},
		{"\x1b[31mx", 3, `~`, 1},
		{"a\nb\\", 20, `a\x0ab\\`, 8},
		{"\xffx", 20, `\xffx`, 5},
		{"\u202ex", 20, `\u202ex`, 7},
		{"שלום", 30, `\u05e9\u05dc\u05d5\u05dd`, 24},
		{"日本", 4, "日本", 4},
		{"日本", 3, "日~", 3},
		{"日本", 2, "~", 1},
		{"é", 5, "é", 1},
		{"e\u0301", 9, `e\u0301`, 7},
	} {
		got, used := appendSafe(nil, []byte(test.in), test.width)
		if string(got) != test.want || used != test.used {
			t.Errorf("%q in %d: %q of %d columns, want %q of %d", test.in, test.width, got, used, test.want, test.used)
		}
	}
}

// FuzzAppendSafe: nothing that a terminal obeys comes out, in no more columns
// than there are.
func FuzzAppendSafe(f *testing.F) {
	for _, s := range []string{"nginx", "\x1b]0;x\a", "\u009b31m", "日本語", "\u202e\u2067", "\xf0\x9f", "👩‍👩‍👧"} {
		f.Add([]byte(s), 7)
	}
	f.Fuzz(func(t *testing.T, s []byte, width int) {
		if width < 1 || width > 1000 {
			t.Skip()
		}
		got, used := appendSafe(nil, s, width)
		if used > width {
			t.Errorf("%q uses %d of %d columns", got, used, width)
		}
		if w := columns.StringWidth(string(got)); w > used {
			t.Errorf("%q takes %d columns, not %d", got, w, used)
		}
		for _, r := range string(got) {
			if !unicode.IsPrint(r) || r == unicode.ReplacementChar && !bytes.ContainsRune(s, r) {
				t.Errorf("%q holds %U", got, r)
			}
		}
	})
}

func compareGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func BenchmarkAppendWatch(b *testing.B) {
	var change conn.Change
	story.Tell(story.Plain(), time.Minute, func(c *conn.Change) {
		if c.Kind == conn.Transition && change.Conn == nil {
			life := *c.Conn
			change = *c
			change.Conn = &life
		}
	})
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = plain.AppendWatch(buf[:0], &change)
	}
}

func BenchmarkAppendConn(b *testing.B) {
	story.Tell(story.Plain(), 0, func(c *conn.Change) {
		if c.Kind != conn.Ended || c.Conn.Role != conn.Client {
			return
		}
		var line []byte
		b.ReportAllocs()
		for range b.N {
			line = plain.AppendConn(line[:0], c)
		}
	})
}

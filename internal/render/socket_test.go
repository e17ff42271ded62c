package render

import (
	"bytes"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/census"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/story"
)

func sockets(t *testing.T, o Options, c *census.Census, command bool) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := o.WriteSockets(&out, c, command, 0); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestWriteSockets(t *testing.T) {
	compareGolden(t, "sockets.txt", sockets(t, plain, story.Census(), false))
	compareGolden(t, "sockets-cmdline.txt", sockets(t, plain, story.Census(), true))
}

// One namespace and no container take no column.
func TestWriteSockets_OneNamespace(t *testing.T) {
	c := story.Unselected()
	c.Infer()
	c.Select(&filter.Filter{NetNS: []uint32{story.HostNetNS}, IPv4: true}, story.Label)
	compareGolden(t, "sockets-host.txt", sockets(t, plain, c, false))
}

func TestWriteSummary(t *testing.T) {
	rows, total := story.Census().Summarize()
	var out bytes.Buffer
	if err := plain.WriteSummary(&out, rows, &total); err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "summary.txt", out.Bytes())
}

// A table of IPv4 addresses fits 120 columns, whatever else there is to say.
func TestWriteSockets_Fits(t *testing.T) {
	c := &census.Census{}
	for i := range 3 {
		s := census.Socket{
			Local: netip.MustParseAddrPort("10.100.100.100:40000"), Remote: netip.MustParseAddrPort("10.200.200.200:44300"),
			Owner: story.Task(4194304, "日本日本日"), ID: event.ID{NetNS: uint32(4026532000 + i)}, MoreHolders: 9,
		}
		s.Owner.Label = &event.Label{Container: story.Container}
		c.Sockets = append(c.Sockets, s)
	}
	for _, line := range strings.Split(strings.TrimSuffix(string(sockets(t, plain, c, false)), "\n"), "\n") {
		if w := columns.StringWidth(line); w > 120 {
			t.Errorf("%d columns: %s", w, line)
		}
	}
}

func TestWriteSockets_ColorChangesNothingElse(t *testing.T) {
	colored := plain
	colored.Color = true
	sgr := regexp.MustCompile("\x1b\\[[0-9;]*m")
	text := sockets(t, colored, story.Census(), true)
	if diff := cmp.Diff(string(sockets(t, plain, story.Census(), true)), sgr.ReplaceAllString(string(text), "")); diff != "" {
		t.Error(diff)
	}
	if n := len(sgr.FindAll(text, -1)); n != 20 {
		t.Errorf("%d changes of colour, want 2 for each of 10 states", n)
	}
}

// 4 KiB of anything in a command line cannot disturb a terminal.
func TestWriteSockets_HostileCommandLine(t *testing.T) {
	c := story.Census()
	c.Sockets = c.Sockets[:5]
	c.Sockets[4].Owner.Label = &event.Label{Cmdline: strings.Repeat("שלום\x1b]0;x\a\n\u202e日\xff", 200)}
	text := string(sockets(t, plain, c, true))
	if n := strings.Count(text, "\n"); n != 6 {
		t.Errorf("%d lines, want 6", n)
	}
	for _, r := range text {
		if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x202e || r >= 0x590 && r < 0x600) {
			t.Errorf("it holds %U", r)
		}
	}
}

func BenchmarkWriteSockets(b *testing.B) {
	c := &census.Census{}
	for i := range 10000 {
		s := story.Census().Sockets[4]
		s.Remote = netip.AddrPortFrom(s.Remote.Addr(), uint16(i))
		c.Sockets = append(c.Sockets, s)
	}
	for b.Loop() {
		if err := plain.WriteSockets(discard{}, c, false, 0); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e4, "ns/socket")
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

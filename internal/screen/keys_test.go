package screen

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

func (h *host) typed(text string) {
	for _, r := range text {
		h.key(string(r))
	}
}

func (h *host) wants(words ...string) {
	h.t.Helper()
	text := h.text()
	for _, w := range words {
		if !strings.Contains(text, w) {
			h.t.Errorf("no %q in\n%s", w, text)
		}
	}
}

func TestKeys_Lists(t *testing.T) {
	h := busy(t, 100, 24)
	for key, name := range map[string]string{
		"1": "[1 findings(2)]", "2": "[2 connections]", "3": "[3 processes]", "4": "[4 peers]", "5": "[5 resets]",
		"6": "[6 retransmits]", "7": "[7 listeners]",
	} {
		h.key(key)
		h.wants(name)
	}
	h.key("1", "tab")
	h.wants("[2 connections]")
	h.key("2", "enter", "tab")
	h.wants("[3 processes]", "PROCESS")
}

// Enter looks closer, Esc goes back to the row that it was.
func TestKeys_EnterAndBack(t *testing.T) {
	h := busy(t, 80, 24)
	h.key("3", "down", "enter")
	h.wants("process nginx/812", "ESTABLISHED 5")
	h.key("enter")
	h.wants("10.9.9.1:61000", "1 of 5")
	h.key("down", "enter")
	h.wants("10.0.0.1:443 <- 10.9.9.2:61000", "known by accept")
	h.key("esc")
	h.wants("2 of 5")
	h.key("esc", "esc")
	h.wants("[3 procs]", "> nginx/812")
	h.key("esc")
	h.wants("[3 procs]", "> nginx/812")
}

// What is typed before the answer is there waits for it; what asks for something
// else does not.
func TestKeys_TypedAhead(t *testing.T) {
	h := busy(t, 80, 24)
	ahead := func(names ...string) {
		for _, name := range names {
			h.display.Update(keyCodes[name])
		}
		for range names {
			h.look()
		}
	}
	h.key("3")
	ahead("down", "enter", "enter", "down", "enter")
	h.wants("10.0.0.1:443 <- 10.9.9.2:61000", "known by accept")
	h.key("esc", "esc", "esc")
	ahead("enter", "enter", "tab")
	h.wants("[4 peers]")
}

// The selected connection stays selected as those before it come and go.
func TestKeys_SelectionFollows(t *testing.T) {
	h := newHost(t, 80, 24)
	for i, local := range []string{"10.0.0.1:1001", "10.0.0.1:1002", "10.0.0.1:1003"} {
		h.tell(story.NewSocket(uint64(i+1), local, "10.9.8.7:443").Connect(s*time.Duration(i+1), ms, story.Task(1, "x")))
	}
	h.key("2", "down", "down")
	h.wants("> ESTABLISHED", "10.0.0.1:1003", "3 of 3")
	h.tell(story.NewSocket(1, "10.0.0.1:1001", "10.9.8.7:443").State(10*s, tcp.Established, tcp.Close))
	h.tracker.Advance(20_000_000_000, h.model.Show)
	h.wants("2 of 2")
	if h.display.selected != 1 || h.display.view.Conns[1].ID.Cookie != 3 {
		t.Errorf("row %d is selected", h.display.selected)
	}
}

func TestKeys_Sort(t *testing.T) {
	h := busy(t, 80, 24)
	h.key("3", "s")
	h.wants("by rate")
	h.key("S")
	h.wants("by rate, reversed")
	h.key("1", "3")
	h.wants("by rate, reversed")
	h.key("s", "s", "s", "s")
	h.wants("by open")
}

func TestKeys_Filter(t *testing.T) {
	h := busy(t, 80, 24)
	h.key("2", "/")
	h.typed("--prot 1")
	h.key("enter")
	h.wants("filter: --prot 1_", "unknown flag")
	for range "--prot 1" {
		h.key("backspace")
	}
	h.typed("--port 5432")
	h.key("enter")
	h.applyFilter()
	h.wants("--port 5432", "1 of 3")
	h.wantStates(map[tcp.State]int{tcp.Established: 3})
	h.key("/", "esc")
	h.wants("1 of 3")
	h.key("/")
	for range "--port 5432" {
		h.key("backspace")
	}
	h.key("enter")
	h.applyFilter()
	h.wants("1 of 17")
}

// applyFilter does what a Screen does when the filter is another.
func (h *host) applyFilter() {
	h.t.Helper()
	q := h.shared.query.Load()
	if q.Filter == nil {
		h.model.SetFilter(Selection{}.Filter)
	} else {
		h.model.SetFilter(q.Filter.Filter)
	}
	h.display.view = nil
	h.look()
}

// A stopped picture stays as it is, and what happens is counted.
func TestKeys_Pause(t *testing.T) {
	h := busy(t, 80, 24)
	h.key("2", "p")
	before := h.text()
	h.tell(story.NewSocket(0x777, "10.0.0.1:45000", "10.9.8.7:443").Connect(51*s, ms, story.Task(1, "x")))
	h.at(52 * s)
	if after := h.text(); after != before {
		t.Errorf("it is another picture:\n%s", after)
	}
	h.wants("PAUSED 00:00:50")
	h.key("p")
	h.wants("1 of 18", "00:00:52")
}

func TestKeys_Command(t *testing.T) {
	for keys, want := range map[string]string{
		"1":                 "tcptrace watch --netns 4026531840 --view findings",
		"3 s":               "tcptrace watch --netns 4026531840 --view processes --sort rate",
		"2 S":               "tcptrace watch --netns 4026531840 --view connections --reverse",
		"3 enter":           "tcptrace watch --netns 4026531840 --pid 4194304 --view processes",
		"3 enter enter":     "tcptrace watch --netns 4026531840 --pid 4194304 --view connections",
		"4 down enter":      "tcptrace watch --netns 4026531840 --net 192.168.7.7 --rport 5432 --view connections",
		"7 enter":           "tcptrace watch --netns 4026531840 --lport 443 --view connections",
		"2 enter":           "tcptrace watch --netns 4026531840 --net 10.9.8.7 --lport 8080 --rport 50000 --view connections",
		"1 enter":           "tcptrace watch --netns 4026531840 --pid 4194304 --view findings",
		"6 enter":           "tcptrace watch --netns 4026531840 --net 192.168.7.7 --port 5432 --view retransmits",
		"3 down down enter": "tcptrace watch --netns 4026531840 --pid 66 --view processes",
	} {
		h := busy(t, 200, 24)
		h.key(strings.Fields(keys)...)
		h.key("y")
		if !strings.Contains(h.text(), want+"\n") {
			t.Errorf("%s: it says %q, want %q", keys, h.display.said, want)
		}
	}
}

func TestQuote(t *testing.T) {
	for arg, want := range map[string]string{"--comm": "--comm", "it's": `'it'\''s'`, "a b": "'a b'", "": "''", "$(x)": "'$(x)'"} {
		if got := quote(arg); got != want {
			t.Errorf("quote(%q) = %s, want %s", arg, got, want)
		}
	}
}

func TestKeys_Quit(t *testing.T) {
	for _, key := range []tea.KeyPressMsg{{Code: 'q', Text: "q"}, {Code: 'c', Mod: tea.ModCtrl}} {
		h := busy(t, 80, 24)
		_, cmd := h.display.Update(key)
		if cmd == nil {
			t.Fatalf("%v does nothing", key)
		}
		if _, ok := cmd().(tea.QuitMsg); !ok {
			t.Errorf("%v does not quit", key)
		}
	}
	h := busy(t, 80, 24)
	h.key("/", "q")
	h.wants("filter: q_")
}

// Whatever a process calls itself, the terminal is told nothing but our colours.
func TestPictures_HostileNames(t *testing.T) {
	sgr := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for _, keys := range []string{"1", "2", "2 end", "3", "3 down down enter", "3 down down enter enter", "3 down down enter enter enter", "?"} {
		h := busy(t, 120, 40)
		h.key(strings.Fields(keys)...)
		rest := sgr.ReplaceAllString(h.display.View().Content, "")
		if at := strings.IndexFunc(rest, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f || r == 0x202e }); at >= 0 {
			t.Errorf("%s: %q", keys, rest[max(0, at-20):min(at+20, len(rest))])
		}
	}
}

// In every size there is a picture, and it fits.
func TestPictures_AllSizes(t *testing.T) {
	h := busy(t, 80, 24)
	empty := newHost(t, 80, 24)
	for _, keys := range []string{"1", "2", "3", "4", "5", "6", "7", "1 enter", "2 enter", "3 enter", "4 enter", "5 enter", "6 enter", "7 enter", "?"} {
		h.key(strings.Fields(keys)...)
		empty.key(strings.Fields(keys)...)
		for width := 1; width < 320; width += 1 + width/2 {
			for height := 1; height < 80; height += 1 + height/2 {
				h.resize(width, height)
				h.text()
				empty.resize(width, height)
				empty.text()
			}
		}
		if keys == "?" {
			h.key("x")
		}
	}
}

// Esc goes back to the row that it was in a long list, too.
func TestKeys_BackInALongList(t *testing.T) {
	h := newHost(t, 80, 24)
	for i := range 40 {
		x := story.NewSocket(uint64(i+1), "10.0.0.1:1001", "10.9.8.7:443")
		x.Local = netip.AddrPortFrom(x.Local.Addr(), uint16(1001+i))
		h.tell(x.Connect(s*time.Duration(i+1), ms, story.Task(1, "x")))
	}
	h.key("2")
	for range 20 {
		h.key("down")
	}
	for i := range 5 {
		h.display.Update(keyCodes["enter"])
		h.display.View()
		h.look()
		h.display.Update(keyCodes["esc"])
		h.display.View() // before there is an answer
		h.look()
		h.wants(strconv.Itoa(21+i)+" of 40", ":"+strconv.Itoa(1021+i)+" ")
		h.key("down")
	}
}

package render

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
)

// aFinding has all that a finding can have, of a process with a name meant to
// disturb.
func aFinding() diagnose.Finding {
	return diagnose.Finding{
		Rule: diagnose.Rules()[0], ID: "close-wait-leak:pid=1", Severity: diagnose.Warning, Count: 1009,
		Summary: "1,009 connections in CLOSE_WAIT for 5.0s or more, the longest 12.3s; 1,009 now",
		Cause:   "the peer closed and the process has not: it does not read, or does not close",
		Advice:  "Find where the process drops a connection without close().", Cost: "A restart cuts its other connections too.",
		More: "tcptrace snapshot --pid 1 --state CLOSE_WAIT",
		Evidence: []diagnose.Figure{
			{Name: "now", Kind: diagnose.Number, Number: 1009},
			{Name: "oldest", Kind: diagnose.Length, Length: 12345 * time.Millisecond},
			{Name: "endpoint", Kind: diagnose.Word, Word: "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:8080"},
			{Name: "fds", Kind: diagnose.List, List: []int64{7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
			{Name: "fd_count", Kind: diagnose.Number, Number: 1009},
		},
		Stack: &diagnose.CallStack{
			Call: "accept", Functions: []string{"main.\x1bserve (serve.go:42)", "a_function_whose_name_is_longer_than_the_line_has_room_for_it_to_be_told+0x1c (libc.so.6)"}, Count: 5, Of: 7,
		},
		Process: conn.Owner{Task: story.Task(1, "\x1b[31m\"\n\u202e\xff")},
		Peer:    conn.Owner{Task: story.Task(4242, "curl")},
		Actor:   conn.Owner{Task: story.Task(9001, "ss")},
		Conns:   []event.ID{{Cookie: 0xabc}, {Cookie: 0xdef}},
	}
}

func TestFindings_AppendAll(t *testing.T) {
	unowned := aFinding()
	unowned.Process, unowned.Peer, unowned.Actor = conn.Owner{}, conn.Owner{}, conn.Owner{}
	unowned.Severity, unowned.Count, unowned.Cost = diagnose.Critical, 2, ""
	verdict := Verdict{Connections: 2003, Lasted: 30 * time.Second, Lost: 17, Unfollowed: 3}
	for name, width := range map[string]int{"findings-80.txt": 80, "findings-40.txt": 10} {
		text := Findings{Options: plain, Width: width}
		got := text.AppendLive(nil, &unowned, event.Time(3*time.Second))
		withdrawn := aFinding()
		withdrawn.Withdrawn = true
		got = text.AppendLive(got, &withdrawn, event.Time(4*time.Second))
		got = text.AppendAll(got, []diagnose.Finding{unowned, aFinding()}, verdict)
		compareGolden(t, name, got)
		for line := range strings.Lines(string(got)) {
			if n := len(line) - 1; n > width && width == 80 {
				t.Errorf("%d columns: %q", n, line)
			}
		}
	}
}

// Where all is well, it says so in one line.
func TestFindings_NothingWrong(t *testing.T) {
	text := Findings{Options: plain, Width: 80}
	if got, want := string(text.AppendAll(nil, nil, Verdict{Connections: 2003, Lasted: 30 * time.Second})),
		"nothing wrong seen in 2,003 connections over 30.0s\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := string(text.AppendAll(nil, nil, Verdict{Connections: 1, Lasted: time.Minute})),
		"nothing wrong seen in 1 connection over 60.0s\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	info := aFinding()
	info.Severity = diagnose.Info
	got, _, _ := strings.Cut(string(text.AppendAll(nil, []diagnose.Finding{info}, Verdict{Connections: 7, Lasted: time.Second})), "\n")
	if want := "nothing wrong seen in 7 connections over 1.00s; 1 worth knowing"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

var sgr = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Colour takes no column.
func TestFindings_Color(t *testing.T) {
	f := aFinding()
	text := Findings{Options: plain, Width: 80}
	bare := string(text.AppendAll(nil, []diagnose.Finding{f}, Verdict{Connections: 7}))
	text.Color = true
	colored := string(text.AppendAll(nil, []diagnose.Finding{f}, Verdict{Connections: 7}))
	if colored == bare || sgr.ReplaceAllString(colored, "") != bare {
		t.Errorf("without its colours it differs:\n%s\n%s", colored, bare)
	}
}

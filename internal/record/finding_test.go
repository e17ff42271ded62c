package record

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
)

func TestAppendFinding(t *testing.T) {
	f := diagnose.Finding{
		Rule: diagnose.Rules()[0], ID: "close-wait-leak:pid=1", Severity: diagnose.Warning, Count: 7,
		Summary: "summary", Cause: "cause", Advice: "advice", Cost: "cost", More: "tcptrace snapshot --pid 1",
		Evidence: []diagnose.Figure{
			{Name: "now", Kind: diagnose.Number, Number: 7},
			{Name: "oldest", Kind: diagnose.Length, Length: 12 * time.Second},
			{Name: "endpoint", Kind: diagnose.Word, Word: "10.0.0.1:80"},
			{Name: "fds", Kind: diagnose.List, List: []int64{7, 8, 9}},
		},
		Stack:   &diagnose.CallStack{Call: "accept", Functions: []string{"main.\x1bserve (serve.go:42)", "libc.so.6+0x2a1ca"}, Count: 5, Of: 7},
		Process: conn.Owner{Task: story.Task(1, "\x1b[31m\"\n\xff"), Via: conn.ViaAccept},
		Peer:    conn.Owner{Task: story.Task(4242, "curl")},
		NetNS:   4026531840, Conns: []event.ID{{Cookie: 0xabc}, {Cookie: 0xdef}},
		First: event.Time(time.Second), Last: event.Time(2 * time.Second),
	}
	want := `{"type":"finding","time":"2026-05-17T00:00:03.000000000Z","mono_ns":3000000000,` +
		`"rule":"close-wait-leak","id":"close-wait-leak:pid=1","severity":"warning","count":7,` +
		`"summary":"summary","cause":"cause","advice":"advice","cost":"cost","more":"tcptrace snapshot --pid 1",` +
		`"evidence":{"now":7,"oldest_ns":12000000000,"endpoint":"10.0.0.1:80","fds":[7,8,9]},"stack":{"call":"accept","count":5,"of":7,"functions":["main.\u001bserve (serve.go:42)","libc.so.6+0x2a1ca"]},` +
		`"process":{"pid":1,"comm":"\u001b[31m\"\u000a` + "\ufffd" + `","uid":0,"via":"accept"},` +
		`"peer_process":{"pid":4242,"comm":"curl","uid":0},"netns":4026531840,"connections":["abc","def"],` +
		`"first":"2026-05-17T00:00:01.000000000Z","last":"2026-05-17T00:00:02.000000000Z","final":true}` + "\n"
	got := string(AppendFinding(nil, &f, event.Time(3*time.Second), true, story.Clock))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !json.Valid([]byte(got)) {
		t.Error("it is no JSON")
	}
}

// What is not known is absent.
func TestAppendFinding_Least(t *testing.T) {
	f := diagnose.Finding{Rule: diagnose.Rules()[0], ID: "x", Severity: diagnose.Info, Count: 1, Summary: "s", Withdrawn: true}
	want := `{"type":"finding","time":"2026-05-17T00:00:03.000000000Z","mono_ns":3000000000,"rule":"close-wait-leak",` +
		`"id":"x","severity":"info","count":1,"summary":"s","evidence":{},"withdrawn":true}` + "\n"
	if got := string(AppendFinding(nil, &f, event.Time(3*time.Second), false, story.Clock)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/recording"
	"github.com/tcptrace/tcptrace/internal/story"
)

// recorded writes a recording of one host, which ends at a time, and returns its
// path.
func recorded(t *testing.T, host string, events []event.Event, end time.Duration) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), host+".ttr")
	r, err := recording.Create(path, recording.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	info := recording.Info{
		Program: "tcptrace test", Host: host, Kernel: "6.18.0", Session: host, Boot: story.Clock.Boot, Began: event.Time(time.Millisecond),
		Capabilities: []recording.Capability{{Name: "transitions", Grade: "exact", Hook: "tp_btf/inet_sock_set_state"}},
	}
	space := recording.Namespace{NetNS: story.HostNetNS, Sysctls: map[string]string{"net.ipv4.tcp_fin_timeout": "60"}}
	if err := r.Begin(info, []recording.Namespace{space}, nil, nil); err != nil {
		t.Fatal(err)
	}
	r.Tick(event.Time(time.Millisecond))
	for i := range events {
		r.Event(&events[i])
	}
	r.Tick(event.Time(end))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// tool runs a command line, which must exit with a status, and returns what it
// says on standard error.
func tool(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, said bytes.Buffer
	if got := run(args, &out, &said); got != want {
		t.Fatalf("tcptrace %s: exit status %d, want %d: %s", strings.Join(args, " "), got, want, said.String())
	}
	return out.String(), said.String()
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// files returns the names of all files of a directory.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestReport_OfARecording(t *testing.T) {
	from, to := recorded(t, "web-1", story.Lossy(), 8*time.Second), filepath.Join(t.TempDir(), "incident.html")
	_, stderr := tool(t, exitOK, "report", "--from", from, to)
	if !strings.HasPrefix(stderr, "tcptrace: wrote "+to+" (") {
		t.Error(stderr)
	}
	page := content(t, to)
	for _, want := range []string{
		"<title>web-1: tcptrace report, 2026-05-17 00:00 UTC</title>", "<dd>Linux 6.18.0</dd>", "<dd>a recording by tcptrace test</dd>",
		"reset-unread-data</h3>", "17 events could not be handed over", "net.ipv4.tcp_fin_timeout", "tp_btf/inet_sock_set_state", "In 7.99s, 1 connection of 1 process was seen.",
	} {
		if !strings.Contains(strings.ReplaceAll(page, ` <span class="whose">nginx/1234</span>`, ""), want) {
			t.Errorf("%q is missing", want)
		}
	}
	if names := files(t, filepath.Dir(to)); len(names) != 1 {
		t.Errorf("it leaves %v", names)
	}
}

// Each host has its part, and a finding names the process at the other end, which
// is on the other host.
func TestReport_OfTwoHostsIsOnePage(t *testing.T) {
	var ends [2][]event.Event
	for _, ev := range story.Plain() {
		at := 0
		if ev.Remote.Port() == 40000 {
			at = 1
		}
		ends[at] = append(ends[at], ev)
	}
	web, db := recorded(t, "web-1", ends[0], 80*time.Second), recorded(t, "db-1", ends[1], 80*time.Second)
	page, stderr := tool(t, exitOK, "report", "--from", web, "--from", db, "-")
	if strings.Contains(stderr, "no connection in common") {
		t.Error(stderr)
	}
	for _, want := range []string{
		"<title>tcptrace report of 2 hosts</title>", `<a href="#h1-host-page">`, `<div class="host" id="h2-host-page">`, "web-1 <small>", "db-1 <small>",
		"<dt>Other end</dt><dd>curl/4242 on web-1</dd>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestReport_ReplacesNothingUnlessAsked(t *testing.T) {
	from, dir := recorded(t, "web-1", story.Plain(), 80*time.Second), t.TempDir()
	there, link := filepath.Join(dir, "there.html"), filepath.Join(dir, "link.html")
	if err := os.WriteFile(there, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	for path, args := range map[string][]string{there: {}, link: {"--force"}} {
		_, stderr := tool(t, exitFailed, append([]string{"report", "--from", from, path}, args...)...)
		if !strings.Contains(stderr, "name another") {
			t.Error(stderr)
		}
	}
	if got := fmt.Sprint(files(t, dir)); got != "[link.html there.html]" || content(t, there) != "precious" {
		t.Errorf("it changed something: %s", got)
	}
	tool(t, exitOK, "report", "--from", from, there, "--force")
	if got := fmt.Sprint(files(t, dir)); got != "[link.html there.html]" || !strings.HasSuffix(content(t, there), "</html>\n") {
		t.Errorf("it did not replace the file: %s", got)
	}
}

func TestReport_TakenMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.html")
	p, err := createPage(path, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(p, "ours")
	if err := os.WriteFile(path, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.commit(); err == nil || !strings.Contains(err.Error(), "file exists") {
		t.Errorf("commit returned %v", err)
	}
	if got := fmt.Sprint(files(t, filepath.Dir(path))); got != "[page.html]" || content(t, path) != "theirs" {
		t.Errorf("it leaves %s", got)
	}
}

// What a damaged recording still tells is on the page, which says so.
func TestReport_OfADamagedRecording(t *testing.T) {
	from, dir := recorded(t, "web-1", story.Plain(), 80*time.Second), t.TempDir()
	b := content(t, from)
	if err := os.WriteFile(from, []byte(b[:len(b)-20]+strings.Repeat("x", 20)), 0o600); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "page.html")
	tool(t, exitFailed, "report", "--from", from, to)
	if got := content(t, to); !strings.Contains(got, "What was read ends early: ") {
		t.Error("the page does not say that the recording is damaged")
	}
	if err := os.WriteFile(from, []byte("no recording"), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, exitFailed, "report", "--from", from, filepath.Join(dir, "nothing.html"))
	if got := fmt.Sprint(files(t, dir)); got != "[page.html]" {
		t.Errorf("it leaves %s", got)
	}
}

func TestTimeline_WritesFilesBesideTheText(t *testing.T) {
	from, dir := recorded(t, "web-1", story.Plain(), 80*time.Second), t.TempDir()
	page, tracks := filepath.Join(dir, "lives.html"), filepath.Join(dir, "lives.json")
	stdout, stderr := tool(t, exitOK, "timeline", "--from", from, "--html", page, "--perfetto", tracks)
	if !strings.Contains(stdout, "curl/4242") || strings.Count(stderr, "tcptrace: wrote ") != 2 {
		t.Errorf("%s\n%s", stdout, stderr)
	}
	if got := content(t, page); !strings.Contains(got, `class="lives"`) || strings.Contains(got, `class="findings"`) {
		t.Error("the page has findings, or no timelines")
	}
	var read struct {
		OtherData   map[string]string
		TraceEvents []struct{ Ph, Cat, Name string }
	}
	if err := json.Unmarshal([]byte(content(t, tracks)), &read); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, e := range read.TraceEvents {
		count[e.Ph+e.Cat]++
	}
	if read.OtherData["host"] != "web-1" || count["Xconnection"] != 2 || count["Xstate"] != 9 {
		t.Errorf("%v %v", read.OtherData, count)
	}
}

func TestTimeline_OneTraceIsOfOneHost(t *testing.T) {
	web, db, dir := recorded(t, "web-1", story.Plain(), 80*time.Second), recorded(t, "db-1", story.Refused(), 3*time.Second), t.TempDir()
	_, stderr := tool(t, exitUsage, "timeline", "--from", web, "--from", db, "--perfetto", filepath.Join(dir, "x.json"))
	if !strings.Contains(stderr, "--perfetto takes the recording of one host") || len(files(t, dir)) > 0 {
		t.Errorf("%s, and %v", stderr, files(t, dir))
	}
}

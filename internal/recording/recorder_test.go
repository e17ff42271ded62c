package recording

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/census"
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const second = event.Time(time.Second)

// unlabeled is churn without labels, so that events can be compared.
func unlabeled(n int) []event.Event {
	events := churn(n)
	for i := range events {
		events[i].Task.Label = nil
	}
	return events
}

// record has a recorder take in events, with a tick after each.
func record(t *testing.T, r *Recorder, events []event.Event) {
	t.Helper()
	for i := range events {
		r.Event(&events[i])
		r.Tick(events[i].Time)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// replay runs recordings that are but one, and returns its events.
func replay(t *testing.T, paths ...string) (*Recording, []event.Event) {
	t.Helper()
	set, err := Open(paths...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	if len(set.Recordings) != 1 {
		t.Fatalf("%d recordings, want 1", len(set.Recordings))
	}
	r := set.Recordings[0]
	var events []event.Event
	if err := r.Run(t.Context(), func(ev *event.Event) { events = append(events, *ev) }); err != nil {
		t.Fatal(err)
	}
	return r, events
}

func TestRecorder_PrivateAndOverNothing(t *testing.T) {
	dir := t.TempDir()
	path, target, link := filepath.Join(dir, "a"), filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.Symlink(target, link); err != nil { // to nowhere
		t.Fatal(err)
	}
	if _, err := Create(link, FileOptions{}); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("over a link: %v", err)
	}
	if _, err := Create(link, FileOptions{Force: true}); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("over a link, by force: %v", err)
	}
	if _, err := os.Lstat(target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the link was followed: %v", err)
	}
	for _, force := range []bool{false, true} {
		r, err := Create(path, FileOptions{Force: force})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Begin(testInfo(), nil, nil, nil); err != nil {
			t.Fatal(err)
		}
		record(t, r, nil)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if _, err := Create(path, FileOptions{}); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("over a file: %v", err)
	}
}

// What is known as a recording begins is known to who reads it, before the
// first event.
func TestRecorder_Begin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	r, err := Create(path, FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	web := task(411, "nginx")
	events := unlabeled(3)
	client := events[1]
	sockets := []census.Socket{
		{
			Time: 900, ID: client.ID, Local: client.Local, Remote: client.Remote, Inode: 77, RecvQ: 1, SendQ: 1 << 31,
			Timer: "retransmit", TimeLeft: -1, Timeouts: 3, Drops: 4, UID: 5, State: tcp.CloseWait, Object: census.Full,
			Orphan: true, KeepAlive: true, FD: 9, Via: conn.ViaSnapshot, MoreHolders: 2,
			Owner:   event.Task{PID: web.PID, Comm: web.Comm},
			Holders: []census.Holder{{PID: web.PID, FD: 9, Comm: web.Comm}, {PID: 6, FD: 1, UID: 1000}},
		},
		{Time: 901, ID: event.ID{NetNS: 8}, State: tcp.TimeWait, Object: census.TimeWait, Timer: "timewait", TimeLeft: time.Minute, Unaccepted: true},
	}
	spaces := []Namespace{{NetNS: 8, Name: "blue\xff", Sysctls: map[string]string{"net.core.somaxconn": "4096"},
		Devices: map[netip.Addr]string{netip.MustParseAddr("198.18.0.1"): "lab0", netip.IPv6Loopback(): "lo"}}}
	people := []Process{{Task: web, Started: 5 * time.Second}}
	if err := r.Begin(testInfo(), spaces, people, &census.Census{Time: 899, Sockets: slices.Clone(sockets)}); err != nil {
		t.Fatal(err)
	}
	for i := range events[:10] {
		r.Event(&events[i])
	}
	r.Namespace(&Namespace{NetNS: 8, Name: "green"})
	r.Descriptors(&Descriptors{PID: 411, Held: []Descriptor{{client.ID, 12}}})
	record(t, r, events[10:])

	set, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	got := set.Recordings[0]
	all := got.Snapshot()
	if diff := gocmp.Diff(sockets, all.Sockets, compare); diff != "" {
		t.Errorf("sockets (-recorded +read):\n%s", diff)
	}
	if diff := gocmp.Diff(people[0], got.Processes()[411], compare); diff != "" {
		t.Errorf("process (-recorded +read):\n%s", diff)
	}
	if l := got.Label(&sockets[0].Owner, 0); l == nil || *l != *web.Label {
		t.Errorf("its label is %v", l)
	}
	type known struct {
		Now                       event.Time
		Sysctl, Other, Name       string
		Socket                    event.ID
		FD                        uint32
		Began, Good               event.Time
		Ended, Stopped            bool
		Snapshot, Host, Namespace string
	}
	look := func() known {
		k := known{
			Now: got.Now(), Sysctl: got.Sysctl(8, "net.core.somaxconn"), Other: got.Sysctl(9, "x"), Name: got.Namespaces()[8],
			Began: got.Begun(), Good: got.Good(), Ended: got.Ended(), Stopped: got.Stopped(), Host: got.Info().Host,
		}
		got.Descriptors(411, func(id event.ID, fd uint32) { k.Socket, k.FD = id, fd })
		return k
	}
	want := known{Now: 1_000_000, Sysctl: "4096", Name: "blue\xff", Socket: client.ID, FD: 9, Host: "alpha"}
	if diff := gocmp.Diff(want, look(), compare); diff != "" {
		t.Errorf("before the first event (-want +got):\n%s", diff)
	}
	var read []event.Event
	if err := got.Run(t.Context(), func(ev *event.Event) { read = append(read, *ev) }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(read, events) {
		t.Error("the events are others")
	}
	last := events[len(events)-1].Time
	want = known{Now: last, Name: "green", Socket: client.ID, FD: 12, Host: "alpha", Began: events[0].Time, Good: last, Ended: true}
	if diff := gocmp.Diff(want, look(), compare); diff != "" {
		t.Errorf("at the end (-want +got):\n%s", diff)
	}
}

// The files that a recording is rotated into are read as one, and each alone,
// and no more than are to be kept are kept.
func TestRecorder_Rotate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	events := unlabeled(4_001)
	for i := range events {
		events[i].Time *= 20 // so that there are some seconds
	}
	r, err := Create(path, FileOptions{Rotate: 20_000, Keep: 4})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Begin(testInfo(), []Namespace{{NetNS: 4026531840, Name: "host"}}, nil, nil); err != nil {
		t.Fatal(err)
	}
	record(t, r, events)
	bytes, files := r.Written()
	if files < 6 || bytes < uint64(files-1)*20_000 {
		t.Fatalf("%d bytes in %d files: too few for this test", bytes, files)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 {
		t.Fatalf("%d files are kept, want 4; %v", len(entries), err)
	}
	whole, kept := replay(t, path, path+".1", path+".2", path+".3")
	if len(kept) == 0 || !slices.Equal(kept, events[len(events)-len(kept):]) {
		t.Errorf("the four files are not the last %d events", len(kept))
	}
	began := slices.MinFunc(kept, func(a, b event.Event) int { return cmp.Compare(a.Time, b.Time) }).Time // they are not quite in order
	if info := whole.Info(); info.Part != files-3 || info.Began != began {
		t.Errorf("they begin with part %d at %d, want %d at %d", info.Part, info.Began, files-3, began)
	}
	var apart []event.Event
	for n := 3; n >= 0; n-- {
		name := path
		if n > 0 {
			name = fmt.Sprint(path, ".", n)
		}
		one, read := replay(t, name)
		if !one.Ended() || one.Namespaces()[4026531840] != "host" {
			t.Errorf("%s: ended %v, names %v", name, one.Ended(), one.Namespaces())
		}
		apart = append(apart, read...)
	}
	if !slices.Equal(apart, kept) {
		t.Error("each file alone has other events than all together")
	}
	if _, err := Open(path+".3", path+".1"); err == nil || !strings.Contains(err.Error(), "is missing between") {
		t.Errorf("a part is missing: %v", err)
	}
	if _, err := Open(path, path); err == nil || !strings.Contains(err.Error(), "give it once") {
		t.Errorf("a part comes twice: %v", err)
	}
	if _, err := Create(path+"b", FileOptions{Rotate: 1}); err != nil {
		t.Error(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path, FileOptions{Rotate: 1}); err == nil || !strings.Contains(err.Error(), "a.1 exists already") {
		t.Errorf("an older part exists: %v", err)
	}
}

// Until it is released, a recorder writes nothing, and keeps as much as it is to.
func TestRecorder_HoldAndRelease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	r, err := Create(path, FileOptions{Hold: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Begin(testInfo(), nil, nil, &census.Census{Time: 1}); err != nil {
		t.Fatal(err)
	}
	one := unlabeled(1)[0]
	at := func(s event.Time) *event.Event {
		one.Time = s * second
		return &one
	}
	for s := event.Time(1); s <= 300; s++ {
		r.Event(at(s))
		r.Tick(s * second)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) || r.Released() {
		t.Fatalf("there is a file already: %v", err)
	}
	if err := r.Release("close-wait-leak"); err != nil {
		t.Fatal(err)
	}
	r.Event(at(301))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	got, events := replay(t, path)
	if info := got.Info(); info.SinceFinding != "close-wait-leak" || got.Snapshot() != nil {
		t.Errorf("since %q, snapshot %v: want the rule and none, as it is of long ago", info.SinceFinding, got.Snapshot())
	}
	// The finding comes at 300 s, and the blocks are of a second each.
	if first, last := events[0].Time/second, events[len(events)-1].Time/second; first != 240 || last != 301 || len(events) != 62 {
		t.Errorf("%d events from %d s to %d s, want 62 from 240 to 301", len(events), first, last)
	}
}

func TestRecorder_HoldAndNothingFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	r, err := Create(path, FileOptions{Hold: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	record(t, r, unlabeled(3))
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a file: %v", err)
	}
}
